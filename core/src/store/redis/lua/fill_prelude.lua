
-- What FILL and FILL_FIELDS begin with, behind the prelude: uses the grant up, or says why it does not stand. The absence of g
-- means that an invalidation came after the grant, so nothing may be stored (I1); fills within g happen in the order of n
-- (I3). A repeat is refused and harmless (I10).
local function refused(generation, number)
  local g, n, f = lease('g', 'n', 'f')
  if not g or g ~= generation then
    return {'REVOKED', now_us}
  end
  if number <= tonumber(f or 0) then
    return {'SUPERSEDED', now_us}
  end
  if number == tonumber(n) then
    redis.call('UNLINK', L)
  else
    -- Removes nothing: a script that has written is let write on, though the memory is full.
    redis.call('HDEL', L, '')
    redis.call('HSET', L, 'f', number)
  end
end

