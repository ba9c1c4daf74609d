-- PUT of a write alone: its value lies elsewhere in the Cluster. A repeat of its operation answers as the first did (I10).
local answer, id = append(Q, KEYS[2], 1)
if id then
  -- It is a new one.
  answer[5] = 1
end
return answer
