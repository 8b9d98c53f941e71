-- Health of a TargetDatabase, for Argo CD: what the last run or inspection found.
local function is(status, message)
  return { status = status, message = message }
end

local metadata = obj.metadata or {}
if metadata.deletionTimestamp ~= nil then
  return is("Progressing", "is being deleted")
end

local unseen = "waiting for schema-operator to look at generation " .. tostring(metadata.generation)
local status = obj.status or {}
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation then
  return is("Progressing", unseen)
end

local coming = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Reconciling" and condition.status == "True" then
    coming = condition.observedGeneration == metadata.generation
  end
end

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.observedGeneration == metadata.generation then
    if condition.status == "True" then
      return is("Healthy", condition.message)
    end
    -- Without inspections only a run connects. Waiting for one would stop a sync wave before the SchemaMigration that
    -- makes it.
    if condition.reason == "NotTried" and not coming then
      return is("Healthy", condition.message)
    end
    if condition.status == "False" then
      return is("Degraded", condition.message)
    end
    return is("Progressing", condition.message)
  end
end
return is("Progressing", unseen)
