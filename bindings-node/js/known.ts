import type { Flow } from './flow.js';

/** What is known of a manager, for who tells of its calls. */
export class Known {
  readonly #flow: Flow;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  /** Before a tenant's keys: `@tenant:`. @internal */
  get scope(): string {
    return this.#flow.scope;
  }

  /** The URL, without its password. @internal */
  get where(): string {
    return this.#flow.port.where;
  }

  /** What its figures are told apart by. @internal */
  get identity(): { 'tidegate.service': string; 'tidegate.role': string } {
    const { native, role } = this.#flow.port;
    return { 'tidegate.service': native.service, 'tidegate.role': role };
  }
}
