-- What scripts see of Lua: catching and coroutines that let commands through, tables that cannot be
-- changed, and the driver of a run. Nothing in here uses a global; `raw` is the library as it came.

local CALL, host, raw = ...

local create, yield, resume = raw.coroutine.create, raw.coroutine.yield, raw.coroutine.resume
local status, running = raw.coroutine.status, raw.coroutine.running
local type, select, tostring, error, next = raw.type, raw.select, raw.tostring, raw.error, raw.next
local rawget, protect = raw.rawget, raw.pcall
local setmetatable, getmetatable = raw.setmetatable, raw.getmetatable
local setfenv, concat = raw.setfenv, raw.table.concat
local can_yield, killed, refuse, place = host.can_yield, host.killed, host.refuse, host.place
local describe, compile = host.describe, host.compile

local KILLED = {err = 'ERR Script killed by user with SCRIPT KILL...'}

-- A yield is one of three: a command (CALL), the end of a slice (no value), or the script's own
-- (OWN before its values). The first two are handed outwards until they reach the driver.
local OWN = {}

local function plain(err)
  if type(err) == 'userdata' then return describe(err) end
  return err
end

local function outwards(...)
  if can_yield() then return yield(...) end
  if select('#', ...) == 0 then return end
  if (...) == CALL then return refuse() end
  error('attempt to yield across metamethod/C-call boundary', 0)
end

-- A coroutine that runs f, unless f is a function in C that never yields.
local function thread(f)
  local made, co = protect(create, f)
  if made then return co end
  if type(f) == 'table' or f == host.call or f == host.pcall then
    return create(function(...) return f(...) end)
  end
end

local function caught(co, ok, ...)
  if not ok then
    if killed() then error(KILLED, 0) end
    return false, plain((...))
  end
  if co and status(co) == 'suspended' then return caught(co, resume(co, outwards(...))) end
  return true, ...
end

local function answered(co, ok, ...)
  if not ok then
    if killed() then error(KILLED, 0) end
    return false, plain((...))
  end
  if status(co) ~= 'suspended' then return true, ... end
  if (...) == OWN then return true, select(2, ...) end
  return answered(co, resume(co, outwards(...)))
end

-- As pcall of Redis 7: of an error that is a table, its text.
local function short(ok, err, ...)
  if not ok and type(err) == 'table' then
    local text = rawget(err, 'err')
    if type(text) == 'string' or type(text) == 'number' then return ok, text end
  end
  return ok, err, ...
end

local function unwrapped(ok, ...)
  if ok then return ... end
  error((...), 0)
end

local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, handler(...)
end

-- Tables that scripts read and cannot change: what they see is empty, what it shows is hidden.
local hidden = setmetatable({}, {__mode = 'k'})

local function readonly()
  error('Attempt to modify a readonly table', 2)
end

local function shown(real)
  local proxy = {}
  hidden[proxy] = real
  local meta = {__index = real, __newindex = readonly, __metatable = false, [CALL] = true}
  return setmetatable(proxy, meta)
end

local real = {}
local G = {}
hidden[G] = real
setmetatable(real, {
  __index = function(_, name)
    if type(name) ~= 'string' and type(name) ~= 'number' then
      error('Second argument to luaProtectedTableError must be a string or number', 2)
    end
    error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
  end,
})
setmetatable(G, {__index = real, __newindex = readonly, __metatable = false, [CALL] = true})
local meta_of_G = shown({})

for name in raw.string.gmatch(
  'tostring next assert tonumber rawequal type select gcinfo ipairs _VERSION error', '%S+') do
  real[name] = raw[name]
end
real._G = G

real.pcall = function(...)
  local co = thread((...))
  if not co then return short(caught(nil, protect(...))) end
  return short(caught(co, resume(co, select(2, ...))))
end

real.xpcall = function(f, handler)
  local co = thread(f)
  if not co then return handled(handler, caught(nil, protect(f))) end
  return handled(handler, caught(co, resume(co)))
end

-- The coroutine of the script that runs now: to the script it is none.
local current

real.coroutine = shown({
  create = create,
  status = status,
  yield = function(...) return yield(OWN, ...) end,
  resume = function(co, ...) return answered(co, resume(co, ...)) end,
  wrap = function(f)
    local co = create(f)
    return function(...) return unwrapped(answered(co, resume(co, ...))) end
  end,
  running = function()
    local co = running()
    if co == current then return nil end
    return co
  end,
})

real.setmetatable = host.guard('setmetatable', setmetatable)
real.rawset = host.guard('rawset', raw.rawset)

real.getmetatable = function(t)
  if t == G then return meta_of_G end
  if t ~= nil and hidden[t] then return nil end
  return getmetatable(t)
end

real.rawget = function(t, name)
  local behind = t ~= nil and hidden[t]
  if behind then return rawget(behind, name) end
  return rawget(t, name)
end

real.next = function(t, name)
  local behind = t ~= nil and hidden[t]
  if behind then return next(behind, name) end
  return next(t, name)
end

local pairs = raw.pairs
real.pairs = function(t)
  if t ~= nil and hidden[t] then return real.next, t, nil end
  return pairs(t)
end

real.loadstring = function(text, name)
  return compile(text, name or text)
end

real.load = function(reader, name)
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == '' then break end
    if type(part) ~= 'string' then return nil, 'reader function must return a string' end
    parts[#parts + 1] = part
  end
  return compile(concat(parts), name or '=(load)')
end

local collect = raw.collectgarbage
real.collectgarbage = function(what, ...)
  if what == nil or what == 'collect' or what == 'count' or what == 'step' then
    return collect(what or 'collect', ...)
  end
  if what == 'stop' or what == 'restart' or what == 'setpause' or what == 'setstepmul' then
    return 0
  end
  local why = "bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(what) .. "')"
  error(why, 2)
end

real.unpack = host.guard('unpack', raw.unpack)

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

local strings = copy(raw.string)
for name in raw.string.gmatch('find match gmatch gfind gsub rep', '%S+') do
  if strings[name] then strings[name] = host.guard(name, strings[name]) end
end
real.string = shown(strings)
local meta_of_strings = getmetatable('')
meta_of_strings.__index = real.string
meta_of_strings.__metatable = shown({__index = real.string})

local tables = copy(raw.table)
tables.insert = host.guard('insert', tables.insert)
real.table = shown(tables)

local maths = copy(raw.math)
maths.random, maths.randomseed = host.random, host.randomseed
real.math = shown(maths)
real.os = shown({clock = raw.os.clock})

host.redis.call, host.redis.pcall = host.call, host.pcall
for _, name in raw.ipairs({'redis', 'cjson', 'cmsgpack', 'bit', 'struct'}) do
  if host[name] then real[name] = shown(host[name]) end
end

-- The driver: what Rust calls.

local CODES = {done = 0, call = 1, pause = 2, failed = 3}

local function fields(err, co)
  if type(err) ~= 'table' then err = {err = 'ERR ' .. tostring(err)} end
  if rawget(err, 'line') == nil then
    local level = 0
    while true do
      local source, line = place(co, level)
      if source == nil then break end
      if source ~= '=[C]' and source ~= '=(basalt)' and line > 0 then
        return CODES.failed, err, source, line
      end
      level = level + 1
    end
  end
  return CODES.failed, err, rawget(err, 'source'), rawget(err, 'line')
end

local function report(co, ok, ...)
  if not ok then return fields(plain((...)), co) end
  if status(co) == 'dead' then return CODES.done, (...) end
  if select('#', ...) == 0 then return CODES.pause end
  if (...) == CALL then return CODES.call end
  return fields('attempt to yield across metamethod/C-call boundary', co)
end

local function step(co, ...)
  current = co
  return report(co, resume(co, ...))
end

-- New coroutines and chunks inherit the environment of the main one.
setfenv(0, G)

return create, step, real, G
