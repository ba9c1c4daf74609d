-- INVALIDATE settle_ms: removes the entry, its fields and every right to fill it: without g no fill granted before is
-- stored after (I1). For settle_ms nothing is stored at all. A repeat only costs another miss (I10).
local settle_ms = tonumber(ARGV[1])
if has_writers() then
  contend()
else
  redis.call('UNLINK', V, F, L)
end
settle(settle_ms)
wake()
return {'OK', now_us}
