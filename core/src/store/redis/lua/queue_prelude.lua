-- What the scripts of a queue begin with. KEYS: Q the stream of a partition, O its owner, A how often each write has been
-- handed out, D what was set aside; the last of ARGV is the wake channel of Q. Replies are {verdict, microseconds, …}.
local Q, O, A, D = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- How long a stream is. One of a wrong type is removed: it must not be an error for ever.
local function length_of(stream)
  local length = redis.pcall('XLEN', stream)
  if type(length) ~= 'number' then
    redis.call('UNLINK', stream)
    return 0
  end
  return length
end

-- Whether this caller owns the partition; if so, for another lease.
local function owns(nonce, lease_ms)
  if redis.pcall('GET', O) ~= nonce then
    return false
  end
  redis.call('PEXPIRE', O, lease_ms)
  return true
end

-- The number of times that a write has been handed out is kept until it is settled.
local function forget(id)
  redis.pcall('HDEL', A, id)
end

-- Whoever waits for work looks. A user without the right to the channel still works: polling is the net.
local function wake_queue()
  redis.pcall('SPUBLISH', ARGV[#ARGV], '')
end

