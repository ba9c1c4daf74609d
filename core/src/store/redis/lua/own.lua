-- OWN nonce lease_ms: the partition for this caller, unless another one's lease runs. A repeat only prolongs (I10). A lease
-- longer than any that is given is not believed.
local nonce, lease_ms = ARGV[1], tonumber(ARGV[2])
local holder = redis.pcall('GET', O)
if type(holder) == 'string' and holder ~= nonce then
  local left_ms = redis.call('PTTL', O)
  if left_ms > 0 and left_ms <= lease_ms then
    return {'TAKEN', now_us, left_ms}
  end
end
-- UNLINK comes first, so that a full memory does not refuse what follows.
redis.call('UNLINK', O)
redis.call('SET', O, nonce, 'PX', lease_ms)
return {'OWNED', now_us, length_of(Q)}
