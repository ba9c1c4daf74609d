-- PUT of a write alone: its value lies elsewhere in the Cluster. A repeat of its operation answers as the first did (I10).
local answer = append(Q, KEYS[2], 1)
return answer
