
-- What the scripts of fields begin with, behind the prelude: how F is read and written. Each field is an envelope.

-- The named fields of F, false for those that it has not. An F of a wrong type is removed: it must not be an error for ever.
local function fields_of(names)
  local values = redis.pcall('HMGET', F, unpack(names))
  if values.err then
    redis.call('UNLINK', F)
    values = {}
    for at = 1, #names do
      values[at] = false
    end
  end
  return values
end

-- The arguments from `first` on but for the wake channel.
local function rest_of_argv(first)
  return {unpack(ARGV, first, #ARGV - 1)}
end

-- Stamps drafts and stores them: name draft fresh_ms kept_ms, for each. F lives as long as the longest of its fields.
-- Versions grow as they do in `store`. Its script has removed something before, so that a full memory does not refuse what it need not.
local function store_fields(given)
  local names, last = {}, now_us
  for at = 1, #given, 4 do
    names[#names + 1] = given[at]
  end
  local before = fields_of(names)
  for index = 1, #names do
    local at = 4 * index - 3
    local draft, fresh_ms, kept_ms = given[at + 1], tonumber(given[at + 2]), tonumber(given[at + 3])
    local version = now_us
    if format_of(before[index]) == 1 then
      local previous = struct.unpack('<I8', before[index], 13)
      if previous <= now_us + 1000000 then
        version = math.max(now_us, previous + 1)
      end
    end
    local times = struct.pack('<I8I8I8I8', version, now, now + fresh_ms, now + kept_ms)
    redis.call('HSET', F, names[index], string.sub(draft, 1, 12) .. times .. string.sub(draft, 45))
    if redis.call('PTTL', F) < kept_ms then
      redis.call('PEXPIRE', F, kept_ms)
    end
    last = math.max(last, version)
  end
  return last
end

