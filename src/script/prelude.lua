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

-- What is missing in a table with this metatable is an error.
local strict = {
  __index = function(_, name)
    if type(name) ~= 'string' and type(name) ~= 'number' then
      error('Second argument to luaProtectedTableError must be a string or number', 2)
    end
    error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
  end,
}

local real = setmetatable({}, strict)
local G = {}
hidden[G] = real
setmetatable(G, {__index = real, __newindex = readonly, __metatable = false, [CALL] = true})
local meta_of_G = shown({})
-- The globals of functions.
local F = {}

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

-- What a handler of xpcall makes of an error, or that it has failed itself.
local function answer(ok, ...)
  if ok then return false, ... end
  return false, 'error in error handling'
end

local function handled(handler, ok, ...)
  if ok then return true, ... end
  return answer(real.pcall(handler, ...))
end

real.xpcall = function(f, handler)
  local co = thread(f)
  if not co then return handled(handler, caught(nil, protect(f))) end
  return handled(handler, caught(co, resume(co)))
end

-- The coroutine of the script that runs now: to the script it is none.
-- Weak, since what a script has held is garbage once it has ended.
local current = setmetatable({}, {__mode = 'v'})

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
    if co == current[1] then return nil end
    return co
  end,
})

real.setmetatable = host.guard('setmetatable', setmetatable)
real.rawset = host.guard('rawset', raw.rawset)

real.getmetatable = function(t)
  if t == G or t == F then return meta_of_G end
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

local function within(globals, made, why)
  if made then return setfenv(made, globals) end
  return made, why
end

-- loadstring and load whose chunks see these globals.
local function loaders(globals)
  local function of_text(text, name)
    return within(globals, compile(text, name or text))
  end
  local function of_reader(reader, name)
    local parts = {}
    while true do
      local part = reader()
      if part == nil or part == '' then break end
      if type(part) ~= 'string' then return nil, 'reader function must return a string' end
      parts[#parts + 1] = part
    end
    return within(globals, compile(concat(parts), name or '=(load)'))
  end
  return of_text, of_reader
end

real.loadstring, real.load = loaders(G)

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

-- Functions see other globals than scripts: no KEYS and no ARGV, and of `redis` a part. While a
-- library is loaded there is nothing but a `redis` of its own.

local of_functions = copy(real)
of_functions._G = F
of_functions.loadstring, of_functions.load = loaders(F)
local part = copy(host.redis)
part.replicate_commands, part.breakpoint, part.debug = nil, nil, nil
of_functions.redis = shown(part)
setmetatable(of_functions, strict)

-- While a library is loaded: what it has registered.
local registered

local function problem(text)
  error({err = 'ERR ' .. text}, 0)
end

local function text_of(value, what)
  if type(value) == 'number' then return tostring(value) end
  if type(value) ~= 'string' then problem(what .. ' must be a string') end
  return value
end

local function flags_of(list)
  local flags, at = {}, 1
  while list[at] ~= nil do
    local flag = list[at]
    flag = (type(flag) == 'string' or type(flag) == 'number') and host.flag(tostring(flag))
    if not flag then problem('unknown flag given') end
    flags[at], at = flag, at + 1
  end
  return flags
end

local function named(given)
  if type(given) ~= 'table' then
    problem('calling redis.register_function with a single argument is only applicable to Lua '
      .. 'table (representing named arguments).')
  end
  local row = {flags = {}}
  for key, value in next, given do
    if type(key) ~= 'string' and type(key) ~= 'number' then
      problem('named argument key given to redis.register_function is not a string')
    end
    key = raw.string.lower(tostring(key))
    if key == 'function_name' then
      row.name = text_of(value, 'function_name argument given to redis.register_function')
    elseif key == 'description' then
      row.description = text_of(value, 'description argument given to redis.register_function')
    elseif key == 'callback' then
      if type(value) ~= 'function' then
        problem('callback argument given to redis.register_function must be a function')
      end
      row.callback = value
    elseif key == 'flags' then
      if type(value) ~= 'table' then
        problem('flags argument to redis.register_function must be a table representing '
          .. 'function flags')
      end
      row.flags = flags_of(value)
    else
      problem('unknown argument given to redis.register_function')
    end
  end
  if not row.name then
    problem('redis.register_function must get a function name argument')
  end
  if not row.callback then
    problem('redis.register_function must get a callback argument')
  end
  return row
end

local function positional(name, callback)
  name = text_of(name, 'first argument to redis.register_function')
  if type(callback) ~= 'function' then
    problem('second argument to redis.register_function must be a function')
  end
  return {name = name, callback = callback, flags = {}}
end

local function register(...)
  if not registered then
    problem('redis.register_function can only be called on FUNCTION LOAD command')
  end
  local count, row = select('#', ...), nil
  if count == 1 then
    row = named(...)
  elseif count == 2 then
    row = positional(...)
  else
    problem('wrong number of arguments to redis.register_function')
  end
  if not host.is_name(row.name) then problem(host.bad_name) end
  if registered[row.name] then problem('Function already exists in the library') end
  registered[row.name] = true
  registered[#registered + 1] = row
end

local of_library = {register_function = register}
for name in raw.string.gmatch('log LOG_DEBUG LOG_VERBOSE LOG_NOTICE LOG_WARNING REDIS_VERSION '
  .. 'REDIS_VERSION_NUM', '%S+') do
  of_library[name] = host.redis[name]
end
setmetatable(of_library, strict)
local of_libraries = setmetatable({redis = shown(of_library)}, strict)

local face = {__newindex = readonly, __metatable = false, [CALL] = true}
setmetatable(F, face)

-- What functions see from now on: with a table, a library is being loaded, which registers there.
local function see(into)
  registered = into
  local seen = into and of_libraries or of_functions
  face.__index, hidden[F] = seen, seen
end

see(nil)

-- A coroutine that runs f, whatever f is.
local function start(f)
  local made, co = protect(create, f)
  if made then return co end
  return create(function(...) return f(...) end)
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
  current[1] = co
  return report(co, resume(co, ...))
end

-- New coroutines and chunks inherit the environment of the main one.
setfenv(0, G)

return start, step, real, G, F, see
