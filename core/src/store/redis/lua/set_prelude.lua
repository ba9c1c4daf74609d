
-- What SET and SET_FIELDS begin with, behind the prelude: says why nothing is stored, where it comes too late (I10) or beside
-- a writer.
local function refused(not_after_ms)
  if now > not_after_ms then
    return {'LATE', now_us}
  end
  if has_writers() then
    contend()
    wake()
    return {'NOT_STORED', now_us}
  end
end

