
-- What scripts that change what stands there begin with, behind the prelude.

-- V if it is an entry of our format, else false.
local function our_value()
  local bytes = redis.pcall('GET', V)
  return format_of(bytes) == 1 and bytes
end

-- While there are any nothing is stored, and none of their marks is removed.
local function has_writers()
  return marks((lease('w'))) ~= ''
end

-- L lives for so long at the least.
local function prolong(ms)
  if redis.call('PTTL', L) < ms then
    redis.call('PEXPIRE', L, ms)
  end
end

-- For so long at the least nothing is stored that was read from anywhere.
local function settle(ms)
  if ms > 0 then
    local s = lease('s')
    redis.call('HSET', L, 's', math.max(tonumber(s or 0), now + ms))
    prolong(ms)
  end
end

-- What INVALIDATE, EXPIRE, REFRESH and SET do on an L with writers: the entry goes, the writers learn of it.
local function contend()
  redis.call('UNLINK', V, F)
  redis.call('HSET', L, 'c', 1)
end

-- Whether an INVALIDATE's settle time runs. An `s` beside a reader's `g` is a PASS's.
local function is_settling(g, s, w)
  return s and tonumber(s) > now and (w or not g)
end

-- Takes every right to fill away (I1). A settle time that runs stays: nothing that was read from a lagging replica may
-- be stored. UNLINK comes first, so that a full memory does not refuse what follows.
local function revoke()
  local g, s, w = lease('g', 's', 'w')
  redis.call('UNLINK', L)
  if is_settling(g, s, w) then
    redis.call('HSET', L, 's', s)
    redis.call('PEXPIRE', L, tonumber(s) - now)
  end
end
