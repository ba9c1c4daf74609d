-- DEAD_LETTERS behind count: a plain look.
local found = redis.pcall('XRANGE', D, '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
local letters = {}
if not found.err then
  for _, pair in ipairs(found) do
    local part = {pair[1]}
    for _, name in ipairs({'i', 'a', 's', 'f', 'd', 'e'}) do
      part[#part + 1] = field(pair[2], name) or ''
    end
    for at = 1, #part do
      letters[#letters + 1] = part[at]
    end
  end
end
return {'DEAD_LETTERS', now_us, letters}
