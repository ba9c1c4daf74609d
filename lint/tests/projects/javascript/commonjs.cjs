'use strict';
const { CacheManager, key: build } = require('tidegate');
const tidegate = require('tidegate');

let cache;
before(() => {
  cache = new CacheManager({ service: 'x:y' }); // -> TG012
});

module.exports = async function (id, load) {
  await cache.get('flat', load); // -> TG002
  await cache.get(build('user'), load); // -> TG002
  await cache.get(tidegate.key('user'), load); // -> TG002
  var other = new tidegate.CacheManager();
  return other.get('user:' + id, load); // -> TG005
};
