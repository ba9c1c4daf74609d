-- ACQUIRE nonce exclusive_ms validity_ms seen: the entry if it is fresh and newer than `seen`, else the lease, or how
-- long another holder has it to itself. Grants are given once (I2) and grow (I3); a call that is repeated because its
-- reply was lost gets the grant it had (I10).
local nonce, exclusive_ms, validity_ms, seen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local value = redis.pcall('GET', V)
local format = format_of(value)
if format and format > 1 then
  return {'FOREIGN', now_us}
elseif format == 1 then
  local version, created, fresh_until, stale_until = struct.unpack('<I8I8I8I8', value, 13)
  local is_fresh = created <= now + 1000 and now < fresh_until and now < stale_until
  if is_fresh and version > seen then
    return {'HIT', now_us, value}
  end
else
  value = false
end
local g, n, u, h, s, w = lease('g', 'n', 'u', 'h', 's', 'w')
if s and tonumber(s) > now then
  return {'SOLO', now_us, value}
end
if g and h == nonce then
  return {'LEASE', now_us, g, tonumber(n), value}
end
-- An exclusive time longer than any we grant is a clock that stepped: not believed.
local left_ms = (tonumber(u or 0)) - now
if left_ms > 0 and left_ms <= validity_ms then
  return {'WAIT', now_us, left_ms, value}
end
if marks(w) ~= '' then
  return {'SOLO', now_us, value}
elseif w then
  -- Of writers that died: nobody fills under their g.
  redis.call('UNLINK', L)
  g = nil
end
g, n = grant(g, n, nonce, exclusive_ms, validity_ms)
return {'LEASE', now_us, g, n, value}
