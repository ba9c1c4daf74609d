-- FILL g n draft fresh_ms kept_ms [created fresh_until stale_until]: stores the entry if its grant still stands. What was
-- upgraded from an older version keeps that entry's times.
local refusal = refused(ARGV[1], tonumber(ARGV[2]))
if refusal then
  return refusal
end
local version = store(ARGV[3], ARGV[4], ARGV[5])
if #ARGV > 6 then
  local created, fresh_until, stale_until = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  redis.call('SETRANGE', V, 20, struct.pack('<I8I8I8', created, fresh_until, stale_until))
  redis.call('PEXPIRE', V, math.max(stale_until - now, 1))
end
wake()
return {'STORED', now_us, version}
