-- What the scripts of events begin with. KEYS: S the stream, C its state, D the dead letters of a service. C is a hash: n
-- the number of the last event, and of each service p: the number of the last that its group was given, m: how many
-- it has missed (0: nobody knows), h: the consumer who sees to that and u: until when, l: some were left behind.
-- Replies are {verdict, microseconds, …}. The last of ARGV is the wake channel.
local S, C, D = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
-- Whoever ends gives what he holds to this consumer.
local LEFT = 'left'

-- Numbers as texts: `..` would cut them.
local function text(number)
  return string.format('%.0f', number)
end

-- The named fields of C. A C of a wrong type is removed: it must not be an error for ever.
local function state(...)
  local fields = redis.pcall('HMGET', C, ...)
  if fields.err then
    redis.call('UNLINK', C)
    return nil
  end
  return unpack(fields)
end

-- A field of an entry, which is a flat list of names and values.
local function field(entry, name)
  for at = 1, #entry, 2 do
    if entry[at] == name then
      return entry[at + 1]
    end
  end
end

-- The number of the last event. Where C was lost, the stream's last entry tells.
local function last_number()
  local n = state('n')
  if n then
    return tonumber(n)
  end
  local last = redis.pcall('XREVRANGE', S, '+', '-', 'COUNT', 1)
  return not last.err and last[1] and tonumber(field(last[1][2], 'n')) or 0
end

-- A user without the right to the channel still publishes: polling is the net.
local function wake()
  redis.pcall('SPUBLISH', ARGV[#ARGV], '')
end

-- Appends an event; with `only` it is for this service alone.
local function append(max_len, service, format, data, only)
  local n = text(last_number() + 1)
  local entry = {'n', n, 's', service, 'f', format, 'd', data}
  if only then
    entry[#entry + 1] = 'o'
    entry[#entry + 1] = only
  end
  local id
  if max_len then
    id = redis.call('XADD', S, 'MAXLEN', '~', max_len, '*', unpack(entry))
  else
    id = redis.call('XADD', S, '*', unpack(entry))
  end
  redis.call('HSET', C, 'n', n)
  wake()
  return id
end

