-- READ service consumer count claims dead_ms known [held id …]: the next events of the service's group, what others
-- have left, and how many were trimmed away unread. A repeat would hide what the first was answered: it is claimed later.
local group, me, count, dead_ms, known = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local P, M, H, U, LEAVING = 'p:' .. group, 'm:' .. group, 'h:' .. group, 'u:' .. group, 'l:' .. group
local last = last_number()
local position, before, holder, holds_until, leaving = state(P, M, H, U, LEAVING)
position = tonumber(position)
local was_at, missed = position, tonumber(before)
local events, want, has_more = {}, {}, 0
-- What this consumer has in hand, or is being given.
local held = {}
for at = 7, #ARGV - 1 do
  held[ARGV[at]] = true
end

local function miss(number)
  missed = missed ~= 0 and number > 0 and (missed or 0) + number or 0
end

local function give(id, entry, attempt)
  held[id] = true
  local only = field(entry, 'o')
  if only and only ~= group then
    redis.call('XACK', S, group, id)
    return
  end
  local part = {id, attempt, field(entry, 's') or '', field(entry, 'f') or '', field(entry, 'd') or ''}
  for at = 1, #part do
    events[#events + 1] = part[at]
  end
end

-- Who polls in vain, or has its hands full, is alive all the same. Redis 7.0 notes it only of one who is answered, if
-- with nothing.
local function beat()
  local beaten = redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', 1, 'STREAMS', S, '18446744073709551615-0')
  return beaten and beaten.err and beaten
end

local function read()
  local fresh = count > 0 and redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', S, '>')
  return fresh or beat()
end

local fresh = read()
if fresh and fresh.err then
  if not string.find(fresh.err, 'NOGROUP', 1, true) then
    return fresh
  end
  -- A service begins with what comes from now on. One that had begun has lost its group, and reads all that is there.
  local is_new = not position and known == 0
  if is_new then
    position = last
  elseif not position then
    miss(0)
  end
  redis.call('XGROUP', 'CREATE', S, group, is_new and '$' or '0', 'MKSTREAM')
  fresh = read()
elseif not position then
  miss(0)
end
-- The store has lost events that this process had heard of: they may have been for it.
if known > last then
  miss(0)
end
local read_count = 0
if fresh then
  for _, pair in ipairs(fresh[1][2]) do
    read_count = read_count + 1
    local number = tonumber(field(pair[2], 'n'))
    if number then
      if position and number > position + 1 then
        miss(number - position - 1)
      end
      position = math.max(position or 0, number)
    end
    give(pair[1], pair[2], 1)
  end
end
if read_count == count then
  has_more = 1
else
  -- All that is there has been read: what has a number and is not there is gone.
  if position and position < last then
    miss(last - position)
  end
  position = last
end

if ARGV[4] == '1' or leaving then
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', S, group)) do
    local name, idle = field(consumer, 'name'), tonumber(field(consumer, 'idle'))
    local is_dead = name ~= me and (name == LEFT or idle > dead_ms)
    if is_dead or name == me then
      local pending = redis.call('XPENDING', S, group, '-', '+', 256, name)
      for _, one in ipairs(pending) do
        if name ~= me or not held[one[1]] then
          want[#want + 1] = {one[1], one[4] + 1}
        end
      end
      if is_dead and #pending == 0 and name ~= LEFT then
        redis.call('XGROUP', 'DELCONSUMER', S, group, name)
      end
    end
  end
  for at = 1, math.min(count, #want) do
    local id, attempt = unpack(want[at])
    local claimed = redis.call('XCLAIM', S, group, me, 0, id, 'RETRYCOUNT', attempt)
    if claimed[1] and claimed[1][2] then
      give(id, claimed[1][2], attempt)
    else
      -- Trimmed while its consumer held it. XCLAIM has taken it out of what is pending.
      miss(1)
    end
  end
  if #want > count then
    has_more = 1
  elseif leaving then
    redis.call('HDEL', C, LEAVING)
  end
end

if position ~= was_at then
  redis.call('HSET', C, P, text(position))
end
local told = -1
if missed then
  if missed ~= tonumber(before) then
    redis.call('HSET', C, M, text(missed))
  end
  if not holder or holder == me or tonumber(holds_until) <= now then
    redis.call('HSET', C, H, me, U, text(now + dead_ms))
    told = missed
  end
end
return {'EVENTS', now_us, last, told, has_more, events}
