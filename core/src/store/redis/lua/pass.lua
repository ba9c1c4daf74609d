-- PASS g n solo_ms: the result cannot be stored; for solo_ms callers compute for themselves, without a queue. No
-- grant is made or taken (I2, I3), and a later grant keeps its exclusive time (I5); a repeat only sets the time again
-- (I10).
local g, n = lease('g', 'n')
if not g or g ~= ARGV[1] then
  return {'LOST', now_us}
end
redis.call('HSET', L, 's', now + tonumber(ARGV[3]))
if tonumber(n) == tonumber(ARGV[2]) then
  redis.call('HSET', L, 'u', 0)
end
wake()
return {'OK', now_us}
