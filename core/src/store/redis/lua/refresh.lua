-- REFRESH nonce exclusive_ms validity_ms: a lease that begins now. The rights to fill granted before go (I1), under a
-- new g (I2), and so do the fields; the entry stays. A repeat gets the grant it had (I10). While an INVALIDATE settles there is
-- none to have.
local nonce = ARGV[1]
if has_writers() then
  contend()
  wake()
  return {'SOLO', now_us, false}
end
local g, n, h, s, w = lease('g', 'n', 'h', 's', 'w')
if is_settling(g, s, w) then
  return {'SOLO', now_us, our_value()}
end
if g and h == nonce then
  return {'LEASE', now_us, g, tonumber(n), our_value()}
end
redis.call('UNLINK', L, F)
g, n = grant(nil, nil, nonce, tonumber(ARGV[2]), tonumber(ARGV[3]))
wake()
return {'LEASE', now_us, g, n, our_value()}
