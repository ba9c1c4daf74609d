-- BEGIN_WRITE nonce exclusive_ms validity_ms: a writer is about to change the row. The entry goes and every right to fill
-- it (I1), under a new g (I2); until its mark is gone readers store nothing. Beside another writer neither may store: which
-- of the two changes the row last is not known here. A repeat finds its mark (I10).
local nonce, exclusive_ms, validity_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local g, w = lease('g', 'w')
local others = marks(w)
if holds(others, nonce) then
  return {'LEASE', now_us, g, 1, false}
end
redis.call('UNLINK', V, F)
if others == '' then
  revoke()
else
  redis.call('HSET', L, 'c', 1)
end
g = nonce .. '.' .. string.format('%.0f', now_us)
redis.call('HSET', L, 'g', g, 'n', 1, 'f', 0, 'u', now + exclusive_ms, 'w', others .. mark(nonce, validity_ms))
prolong(validity_ms)
return {'LEASE', now_us, g, 1, false}
