-- FILL g n draft fresh_ms kept_ms [created fresh_until stale_until]: stores the entry if its grant still stands. The absence of g means that an
-- invalidation came after the grant, so nothing may be stored (I1); fills within g happen in the order of n (I3). A
-- repeat is refused and harmless (I10). What was upgraded from an older version keeps that entry's times.
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
if #ARGV > 6 then
  local created, fresh_until, stale_until = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  redis.call('SETRANGE', V, 20, struct.pack('<I8I8I8', created, fresh_until, stale_until))
  redis.call('PEXPIRE', V, math.max(stale_until - now, 1))
end
wake()
return {'STORED', now_us, version}
