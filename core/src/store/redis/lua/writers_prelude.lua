
-- What the scripts of writers begin with, behind the prelude.

-- Whether the writer of this nonce is among the marks.
local function holds(standing, nonce)
  return string.find(standing, nonce .. ':', 1, true) ~= nil
end

local function without(standing, nonce)
  return (string.gsub(standing, nonce .. ':%d+;', ''))
end

local function mark(nonce, validity_ms)
  return nonce .. ':' .. string.format('%.0f', now + validity_ms) .. ';'
end

