-- BEAT version kept_ms quarantine_ms: which versions of a service may have entries. KEYS: S, a hash of versions, each with
-- the time until which its entries may stand and the time from which they count. An invalidation goes to each of them, and
-- whoever is about to send one has asked here within the quarantine: a version that comes to others counts behind it. A
-- repeat finds what it wrote (I10). Written when half of what is asked for has passed, which is seldom.
local S, mine, kept_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local rows = redis.pcall('HGETALL', S)
-- A wrong type must not be an error for ever.
if rows.err then
  redis.call('UNLINK', S)
  rows = {}
end

local live, others, until_ms, since = {}, 0, 0, 0
for at = 1, #rows, 2 do
  local version = rows[at]
  local row_until, row_since = string.match(rows[at + 1], '^(%d+) (%d+)$')
  if not row_until or tonumber(row_until) <= now then
    redis.call('HDEL', S, version)
  elseif version == mine then
    until_ms, since = tonumber(row_until), tonumber(row_since)
  else
    others = others + 1
    live[#live + 1] = tonumber(version)
    live[#live + 1] = tonumber(row_until)
    live[#live + 1] = tonumber(row_since)
  end
end
if until_ms == 0 and others > 0 then
  since = now + tonumber(ARGV[3])
end
if until_ms < now + kept_ms / 2 then
  until_ms = now + kept_ms
  -- Removes nothing: a script that has written is let write on, though the memory is full.
  redis.call('HDEL', S, '')
  redis.call('HSET', S, mine, string.format('%.0f %.0f', until_ms, since))
  if redis.call('PTTL', S) < kept_ms then
    redis.call('PEXPIRE', S, kept_ms)
  end
end
return {'VERSIONS', now_us, tonumber(mine), until_ms, since, unpack(live)}
