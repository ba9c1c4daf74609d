/**
 * The errors of tidegate. A fallback's own error is never one of these: it reaches its callers unchanged.
 *
 *     Error
 *     └── TidegateError
 *         ├── ConfigError
 *         ├── KeyFormatError
 *         ├── ValueTooLarge
 *         ├── EncodeError
 *         ├── QueueFull
 *         ├── ClosedError
 *         ├── HardTimeout
 *         ├── StoreUnavailable
 *         └── InternalError
 *
 * Names, codes and messages are the same in every language; they come from the core.
 */

/** The stable codes, for logs and for programs. */
export type ErrorCode =
  | 'ERR_TIDEGATE_CONFIG'
  | 'ERR_TIDEGATE_KEY_FORMAT'
  | 'ERR_TIDEGATE_VALUE_TOO_LARGE'
  | 'ERR_TIDEGATE_ENCODE'
  | 'ERR_TIDEGATE_QUEUE_FULL'
  | 'ERR_TIDEGATE_CLOSED'
  | 'ERR_TIDEGATE_HARD_TIMEOUT'
  | 'ERR_TIDEGATE_STORE_UNAVAILABLE'
  | 'ERR_TIDEGATE_INTERNAL';

/** The base of every error of tidegate's own. */
export abstract class TidegateError extends Error {
  /** A stable name; `docs/errors.md` lists them. */
  abstract readonly code: ErrorCode;

  static {
    this.prototype.name = 'TidegateError';
  }
}

/** An option, URL or argument that cannot work; the message names it and shows a right example. */
export class ConfigError extends TidegateError {
  readonly code = 'ERR_TIDEGATE_CONFIG';

  static {
    this.prototype.name = 'ConfigError';
  }
}

/** A key or template that breaks the rules; the message shows the place and a right example. */
export class KeyFormatError extends TidegateError {
  readonly code = 'ERR_TIDEGATE_KEY_FORMAT';

  static {
    this.prototype.name = 'KeyFormatError';
  }
}

/** A value over `maxValueBytes`. */
export class ValueTooLarge extends TidegateError {
  readonly code = 'ERR_TIDEGATE_VALUE_TOO_LARGE';

  static {
    this.prototype.name = 'ValueTooLarge';
  }
}

/** A value that the codec cannot write: `set` of one, or, with `strict`, what a fallback gave. */
export class EncodeError extends TidegateError {
  readonly code = 'ERR_TIDEGATE_ENCODE';

  static {
    this.prototype.name = 'EncodeError';
  }
}

/** A bounded queue is full; the same call may succeed later. */
export class QueueFull extends TidegateError {
  readonly code = 'ERR_TIDEGATE_QUEUE_FULL';

  static {
    this.prototype.name = 'QueueFull';
  }
}

/** The manager has been closed. */
export class ClosedError extends TidegateError {
  readonly code = 'ERR_TIDEGATE_CLOSED';

  static {
    this.prototype.name = 'ClosedError';
  }
}

/** A fallback ran past `hardTimeout`; its lease is free again. */
export class HardTimeout extends TidegateError {
  readonly code = 'ERR_TIDEGATE_HARD_TIMEOUT';

  static {
    this.prototype.name = 'HardTimeout';
  }
}

/** The store did not confirm what the caller asked it to confirm. */
export class StoreUnavailable extends TidegateError {
  readonly code = 'ERR_TIDEGATE_STORE_UNAVAILABLE';

  static {
    this.prototype.name = 'StoreUnavailable';
  }
}

/** A bug of tidegate's: its native half panicked. The process and the manager go on. */
export class InternalError extends TidegateError {
  readonly code = 'ERR_TIDEGATE_INTERNAL';

  static {
    this.prototype.name = 'InternalError';
  }
}

const CLASSES: Readonly<Record<ErrorCode, new (message: string) => TidegateError>> = {
  ERR_TIDEGATE_CONFIG: ConfigError,
  ERR_TIDEGATE_KEY_FORMAT: KeyFormatError,
  ERR_TIDEGATE_VALUE_TOO_LARGE: ValueTooLarge,
  ERR_TIDEGATE_ENCODE: EncodeError,
  ERR_TIDEGATE_QUEUE_FULL: QueueFull,
  ERR_TIDEGATE_CLOSED: ClosedError,
  ERR_TIDEGATE_HARD_TIMEOUT: HardTimeout,
  ERR_TIDEGATE_STORE_UNAVAILABLE: StoreUnavailable,
  ERR_TIDEGATE_INTERNAL: InternalError,
};

/** The error of a code that the core gave. */
export function ownError(code: string, message: string): TidegateError {
  return new CLASSES[code as ErrorCode](message);
}

/** What native code threw, as the class of its code. */
export function ownOf(error: unknown): unknown {
  if (error instanceof TidegateError) return error;
  const { code, message } = error as { code?: string; message: string };
  return code !== undefined && Object.hasOwn(CLASSES, code) ? ownError(code, message) : error;
}

/** Calls native code; what it throws becomes the class of its code. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw ownOf(error);
  }
}
