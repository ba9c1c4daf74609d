-- DEAD after count: what was set aside, the oldest first.
local found = redis.pcall('XRANGE', D, '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {'DEAD', now_us, found.err and {} or found}
