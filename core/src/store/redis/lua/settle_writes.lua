-- SETTLE nonce lease_ms, then ids: these writes are done. A repeat finds nothing to do (I10).
if not owns(ARGV[1], ARGV[2]) then
  return {'LOST', now_us}
end
local length = length_of(Q)
for at = 3, #ARGV - 1 do
  length = length - redis.call('XDEL', Q, ARGV[at])
  forget(ARGV[at])
end
return {'SETTLED', now_us, length}
