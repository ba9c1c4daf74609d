-- PASS g n solo_ms: the result cannot be stored; for solo_ms callers compute for themselves, without a queue. No
-- grant is made or taken (I2, I3); a repeat only sets the time again (I10).
local g = lease('g')
if not g or g ~= ARGV[1] then
  return {'LOST', now_us}
end
redis.call('HSET', L, 's', now + tonumber(ARGV[3]), 'u', 0)
wake()
return {'OK', now_us}
