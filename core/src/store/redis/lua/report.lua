-- REPORT id figures kept_ms sweeps: the figures of one process of a service, for operators. KEYS: F, a hash of processes,
-- each with the time until which its figures count and the figures. Empty figures: it leaves. With `sweeps` 1 those that
-- nobody has renewed go. A repeat writes the same (I10).
local F, id, figures, kept_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
-- Removes what it is to write anew: a script that has written is let write on, though the memory is full. A wrong type must
-- not be an error for ever.
local removed = redis.pcall('HDEL', F, id)
if type(removed) == 'table' then
  redis.call('UNLINK', F)
end
if ARGV[4] == '1' then
  local rows = redis.call('HGETALL', F)
  for at = 1, #rows, 2 do
    if (tonumber(string.match(rows[at + 1], '^(%d+) ')) or 0) <= now then
      redis.call('HDEL', F, rows[at])
    end
  end
end
if figures ~= '' then
  redis.call('HSET', F, id, string.format('%.0f ', now + kept_ms) .. figures)
  redis.call('PEXPIRE', F, kept_ms)
end
return {'OK', now_us}
