-- What every script begins with: its keys, the server's time, and how V and L are read and written. What only
-- those need that take rights away is in changes_prelude: each function costs every run of its script, called or not.
-- KEYS: V the entry, L its lease, F its fields. The last of ARGV is the wake channel of V.
-- Only TIME inside the script counts as now. Replies are {verdict, microseconds, …}. Numbers go to commands as texts where
-- they are texts already: to write one takes Redis as long as half a command.
local V, L, F = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- The format of an envelope, or nil for whatever is none: absent, too short, another magic, a wrong type.
local function format_of(bytes)
  if type(bytes) == 'string' and #bytes >= 72 and string.sub(bytes, 1, 2) == 'TG' then
    return string.byte(bytes, 3)
  end
end

-- The named fields of L. An L of a wrong type is removed: it must not be an error for ever.
local function lease(...)
  local fields = redis.pcall('HMGET', L, ...)
  if fields.err then
    redis.call('UNLINK', L)
    return nil
  end
  return unpack(fields)
end

-- The marks in w of the writers that stand between database and cache, `nonce:until;` each, until by the server's ms.
-- One past its time is of a writer that died, and counts no more.
local function marks(w)
  if not w then return '' end
  local function keep(ends)
    if tonumber(ends) < now then return '' end
  end
  return (string.gsub(w, '%x+:(%d+);', keep))
end

-- The next grant (I2: given once, I3: n only grows within g). `..` would cut the microseconds.
local function grant(g, n, nonce, exclusive_ms, validity_ms)
  if g then
    n = tonumber(n) + 1
    redis.call('HSET', L, 'n', n, 'h', nonce, 'u', now + exclusive_ms)
  else
    g = nonce .. '.' .. string.format('%.0f', now_us)
    n = 1
    redis.call('HSET', L, 'g', g, 'n', '1', 'f', '0', 'h', nonce, 'u', now + exclusive_ms)
  end
  redis.call('PEXPIRE', L, validity_ms)
  return g, n
end

-- Stamps bytes 12-43 of the draft and stores it. Versions grow, but one that lies more than a second ahead of now is
-- not believed. Its script has removed something before, so that a full memory does not refuse what it need not.
local function store(draft, fresh_ms, kept_ms)
  local version = now_us
  local header = redis.pcall('GETRANGE', V, '0', '71')
  if format_of(header) == 1 then
    local previous = struct.unpack('<I8', header, 13)
    if previous <= now_us + 1000000 then
      version = math.max(now_us, previous + 1)
    end
  end
  redis.call('SET', V, draft, 'PX', kept_ms)
  -- In place: to put three strings together would copy the value three times.
  redis.call('SETRANGE', V, '12', struct.pack('<I8I8I8I8', version, now, now + fresh_ms, now + kept_ms))
  return version
end

-- Ends the waits on V, by the channel's shard in a Cluster. A user without the right to the channel still stores: polling is the net.
local function wake()
  redis.pcall('SPUBLISH', ARGV[#ARGV], '')
end
