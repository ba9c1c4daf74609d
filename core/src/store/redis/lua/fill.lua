-- FILL g n draft fresh_ms kept_ms: stores the entry if its grant still stands. The absence of g means that an
-- invalidation came after the grant, so nothing may be stored (I1); fills within g happen in the order of n (I3). A
-- repeat is refused and harmless (I10).
local number = tonumber(ARGV[2])
local g, n, f = lease('g', 'n', 'f')
if not g or g ~= ARGV[1] then
  return {'REVOKED', now_us}
end
if number <= tonumber(f or 0) then
  return {'SUPERSEDED', now_us}
end
if number == tonumber(n) then
  redis.call('UNLINK', L)
else
  -- Removes nothing: a script that has written is let write on, though the memory is full.
  redis.call('HDEL', L, '')
  redis.call('HSET', L, 'f', number)
end
local version = store(ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
wake()
return {'STORED', now_us, version}
