-- RENEW_WRITE nonce exclusive_ms validity_ms: the writer is still at it. Repeats only prolong again (I10).
local nonce, exclusive_ms, validity_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local standing = marks((lease('w')))
if not holds(standing, nonce) then
  return {'LOST', now_us}
end
-- Removes nothing: a script that has written is let write on, though the memory is full.
redis.call('HDEL', L, '')
redis.call('HSET', L, 'u', now + exclusive_ms, 'w', without(standing, nonce) .. mark(nonce, validity_ms))
prolong(validity_ms)
return {'OK', now_us}
