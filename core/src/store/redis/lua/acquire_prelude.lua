
-- What ACQUIRE and ACQUIRE_FIELDS end in, behind the prelude: the lease; or why there is none, with the value that stands there.
local function lease_or_wait(nonce, exclusive_ms, validity_ms, value)
  -- Mostly there is none, and HGETALL says so in a third of the time that HMGET takes.
  local standing = redis.pcall('HGETALL', L)
  local g, n, u, h, s, w
  if standing.err or #standing > 0 then
    g, n, u, h, s, w = lease('g', 'n', 'u', 'h', 's', 'w')
  end
  if s and tonumber(s) > now then
    return {'SOLO', now_us, value}
  end
  if g and h == nonce then
    return {'LEASE', now_us, g, tonumber(n), value}
  end
  -- An exclusive time longer than any we grant is a clock that stepped: not believed.
  local left_ms = (tonumber(u or 0)) - now
  if left_ms > 0 and left_ms <= tonumber(validity_ms) then
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
end

