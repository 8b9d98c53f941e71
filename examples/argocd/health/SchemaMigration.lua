-- Health of a SchemaMigration, for Argo CD. Healthy means that the wanted version is reached and verified, for the spec
-- that is there now; nothing else does. The status is in the form of kstatus.
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

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.type ~= nil and condition.observedGeneration == metadata.generation then
    conditions[condition.type] = condition
  end
end
local ready = conditions.Ready
if ready == nil then
  return is("Progressing", unseen)
end

local stalled = conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  return is("Degraded", stalled.message)
end

-- These wait for a person or for a time, and nothing is wrong.
local waits = { AwaitingApproval = true, AwaitingWindow = true, Suspended = true }
if ready.status ~= "True" and waits[ready.reason or ""] then
  return is("Suspended", ready.message)
end

local reconciling = conditions.Reconciling
if reconciling ~= nil and reconciling.status == "True" then
  return is("Progressing", reconciling.message)
end
if ready.status == "True" then
  return is("Healthy", ready.message)
end
return is("Progressing", ready.message)
