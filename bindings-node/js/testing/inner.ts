/** Where the testing kit finds what a manager is made of. */
export const INNER = Symbol('inner');
