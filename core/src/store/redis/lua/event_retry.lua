-- RETRY service consumer id attempt: its next attempt is counted before it begins. A repeat counts the same one (I10).
local pending = redis.pcall('XPENDING', S, ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if pending.err or #pending == 0 then
  return {'GONE', now_us}
end
redis.call('XCLAIM', S, ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
return {'DONE', now_us}
