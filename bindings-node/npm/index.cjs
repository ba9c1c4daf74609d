// In the place of what napi would generate, and typed by its index.d.cts: loading is js/loader.ts's.
module.exports = require('../cjs/loader.js').native;
