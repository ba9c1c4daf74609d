-- INVALIDATE settle_ms: removes the entry, its fields and every right to fill it: without g no fill granted before is
-- stored after (I1). For settle_ms nothing is stored at all. A repeat only costs another miss (I10).
local settle_ms = tonumber(ARGV[1])
if has_writers() then
  contend()
else
  redis.call('UNLINK', V, F, L)
  if settle_ms > 0 then
    redis.call('HSET', L, 's', now + settle_ms)
    redis.call('PEXPIRE', L, settle_ms)
  end
end
wake()
return {'OK', now_us}
