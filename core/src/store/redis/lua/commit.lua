-- COMMIT g nonce settle_ms [draft fresh_ms kept_ms]: the writer has ended. Its entry is stored if nothing came between:
-- no other writer, no invalidation, no loss of its mark. In every other case this is an invalidation, which takes the
-- rights to fill away that were granted since (I1); so a repeat, or one that comes late, costs a miss at most (I10).
local nonce = ARGV[2]
local g, c, w = lease('g', 'c', 'w')
local standing = marks(w)
local others = without(standing, nonce)
if #ARGV > 4 and g == ARGV[1] and holds(standing, nonce) and not c then
  redis.call('UNLINK', F)
  revoke()
  local version = store(ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]))
  wake()
  return {'STORED', now_us, version}
end
if others == '' then
  redis.call('UNLINK', V, F)
  revoke()
else
  contend()
  redis.call('HSET', L, 'w', others)
end
settle(tonumber(ARGV[3]))
wake()
return {'NOT_STORED', now_us}
