/** The native half: takes a call, hands it to the engine, gives the outcome back. */
export * from '../native/index.cjs';
