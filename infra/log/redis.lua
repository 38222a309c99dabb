--[[ Every atomic step of the event log on Redis (6.2 or newer). Nothing else writes the log's keys but XCLAIM and, in a
transaction that watches the leases of the shards it reads, XREADGROUP: what a script reads is copied twice. XAUTOCLAIM is not used:
it takes what is idle from any worker, of any lane, and counts a claim. Here a lease says who is dead, XPENDING gives its deliveries
in their order and how many workers had each, and XCLAIM with RETRYCOUNT takes them without counting a life that nothing killed.

Called with KEYS[1] = P, the prefix of all keys (in braces: one slot of a cluster), ARGV[1] = a command, ARGV[2] = its
arguments in MessagePack. Times are milliseconds of the server's clock. The keys:

  P:seq               string   the last number given to an event, or to a dead letter's new delivery
  P:accepted          string   how many events were accepted
  P:key:KEY           string   de-duplication: this event is known; expires after the time that the log remembers
  P:events            stream   the history, SEQ-0 -> type, at, event; cut to about the newest `keep`, for readers only:
                               a delivery carries its event with it, so that cutting loses no work
  P:shard:N           stream   deliveries, SEQ-ORDINAL -> target, partition, at, event. Group `workers`. An entry stays until it is
                               settled (XACK and XDEL): XLEN counts what waits. That XACK finds it pending is the inbox
                               mark; XPENDING's counter tells how many workers had it in hand
  P:lease:N           string   the worker that may settle deliveries of shard N; expires when it falls silent
  P:waits:WORKER      string   since when the oldest waits that this worker has in hand and has not started, or 0; as old as its last
                               renewal, and expires with its leases
  P:workers           zset     worker -> until when it is alive: how many share the shards
  P:retry:N           zset     lanes (TARGET \n PARTITION) of shard N that are blocked -> when their first delivery is due
  P:lane:N:LANE       list     the parked deliveries of a blocked lane, in order: ID ATTEMPTS AT \n EVENT. Removing
                               the first is the inbox mark of a parked delivery
  P:parked            string   how many are parked, all lanes together
  P:given             hash     id of a parked delivery -> TIMES OWNER: how many workers had it in hand, and the last of them
  P:dead              stream   dead letters, NUMBER-0 -> target, cause, attempts, at, event, seq, digest (one: it never was an event)
  P:dead:came         hash     digest of what never was an event -> how often it came
  P:dead:last         string   the last number given to a dead letter
  P:table:NAME        hash     documents: key -> VERSION \n CONTENT. A version is the attempt (`stamp` and delivery) that wrote it:
                               no two are alike, so that what is computed from a content holds while its version does.
                               The field of one line break keeps Redis from packing it in a list that is searched
  P:targets           string   grows when who wants what has changed; callers tell which they know, and learn of a newer one
]]
local P, call = KEYS[1], redis.call
local DONE, LATER, DEAD, PARK = 0, 1, 2, 3
local FREED, SETTLED, GONE, CONFLICT, LOST = 2, 1, 0, -1, -2
local HEADS, SUSPECT = 16, 2
local MANY = 1000  -- arguments of one command
local UNPACKED = string.rep('.', 65)  -- a field so long makes Redis keep a hash as a hash table, however small the rest is

local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number) return string.format('%.0f', number) end

local function id_of(form) return string.match(form, '^%S+') end  -- the delivery in a parked form

local function deliver(seq, at, shard, partition, targets, event)
  for ordinal, target in ipairs(targets) do
    call('XADD', P .. ':shard:' .. shard, seq .. '-' .. (ordinal - 1), 't', target, 'p', partition, 'a', at, 'e', event)
  end
end

-- Events as {key, type, event, shard, partition, targets}; how many of them were new.
local function accept(events, at, keep, remember)
  local new = 0
  for _, each in ipairs(events) do
    if call('EXISTS', P .. ':key:' .. each[1]) == 0 then
      local seq = text(call('INCR', P .. ':seq'))
      call('XADD', P .. ':events', 'MAXLEN', '~', keep, seq .. '-0', 't', each[2], 'a', at, 'e', each[3])
      deliver(seq, at, each[4], each[5], each[6], each[3])
      call('SET', P .. ':key:' .. each[1], '1', 'PX', remember)  -- last: an error before it loses nothing
      new = new + 1
    end
  end
  if new > 0 then call('INCRBY', P .. ':accepted', new) end
  return new
end

local function bury(at, target, cause, attempts, event, seq, digest)
  local number = text(call('INCR', P .. ':dead:last'))
  call('XADD', P .. ':dead', number .. '-0', 't', target, 'c', cause, 'n', attempts, 'a', at, 'e', event, 's', seq, 'd', digest)
end

local function stale(version)
  local known = call('GET', P .. ':targets') or '0'
  return known ~= version and known
end

-- Whether a document {table, key, version} that was read has another version by now.
local function changed(reads)
  for _, read in ipairs(reads) do
    local found = call('HGET', P .. ':table:' .. read[1], read[2])
    if not found then
      if read[3] ~= '' then return true end
    elseif string.sub(found, 1, #read[3] + 1) ~= read[3] .. '\n' then
      return true
    end
  end
  return false
end

local function table_of(name)
  local key = P .. ':table:' .. name
  call('HSETNX', key, '\n', UNPACKED)
  return key
end

-- Call `act` with the values of this list, in portions; the sum of what it says.
local function spread(list, act)
  local sum = 0
  for first = 1, #list, MANY do sum = sum + act(unpack(list, first, math.min(first + MANY - 1, #list))) end
  return sum
end

-- End deliveries that went well and that nobody had in hand before, all or none of them: `shards` {shard, {id, ...}}, `reads` as
-- they were before the first of them wrote, `writes` (table -> {key, VERSION \n CONTENT, ...}) as the last one left it, `events`.
-- 0, and nothing is done, unless all of them can end.
local function together(owner, at, keep, remember, batch)
  local streams, leases = {}, {}
  for i, each in ipairs(batch.shards) do
    streams[i], leases[i] = P .. ':shard:' .. each[1], P .. ':lease:' .. each[1]
  end
  for _, holder in ipairs(call('MGET', unpack(leases))) do
    if holder ~= owner then return 0 end
  end
  if changed(batch.reads) then return 0 end
  for i, each in ipairs(batch.shards) do
    local found = spread(each[2], function(...) return call('XACK', streams[i], 'workers', ...) end)
    if found < #each[2] then  -- one was settled before: put the others, which are still there, back
      for n = 1, i do
        for _, id in ipairs(batch.shards[n][2]) do
          if call('XRANGE', streams[n], id, id)[1] then
            call('XCLAIM', streams[n], 'workers', owner, 0, id, 'FORCE', 'JUSTID', 'RETRYCOUNT', 1)
          end
        end
      end
      return 0
    end
  end
  for name, places in pairs(batch.writes) do
    local key = table_of(name)
    spread(places, function(...) return call('HSET', key, ...) end)
  end
  accept(batch.events, at, keep, remember)
  for i, each in ipairs(batch.shards) do
    spread(each[2], function(...) return call('XDEL', streams[i], ...) end)
  end
  return 1
end

local commands = {}

-- {version, keep, remember, requests}: accept each request's events; how many of each were new, or the newer version.
function commands.append(version, keep, remember, requests)
  local newer = stale(version)
  if newer then return newer end
  local at, answer = now(), {}
  for i, events in ipairs(requests) do answer[i] = accept(events, at, keep, remember) end
  return answer
end

-- {owner, version, keep, remember, stamp, items}: end deliveries, each {shard, id, parked, lane, verdict, ...}:
--   DONE, reads {table, key, version}, writes {table, key, content}, events
--   LATER, milliseconds, parked form      DEAD, target, cause, attempts, event, events      PARK, parked form
-- What became of each: SETTLED; FREED (and its lane is no longer blocked); GONE, settled before; CONFLICT, something read
-- has changed, or an earlier one of its lane was refused: run it again; LOST, the shard is another worker's now.
-- Instead of the items a batch, see `together`, with its answer.
function commands.settle(owner, version, keep, remember, stamp, items)
  local newer = stale(version)
  if newer then return newer end
  if items.shards then return together(owner, now(), keep, remember, items) end
  local at, mine, held, answer, ended, streams = now(), {}, {}, {}, {}, {}
  local parked_more = 0

  -- Take a delivery out of where it waits: false if it is not there any more.
  local function take(shard, id, parked, lane)
    if not parked then
      if call('XACK', streams[shard], 'workers', id) == 0 then return false end
      ended[shard][#ended[shard] + 1] = id
      return true
    end
    local first = call('LINDEX', P .. ':lane:' .. shard .. ':' .. lane, 0)
    return first and id_of(first) == id
  end

  -- After `take`, drop a parked delivery; whether its lane is free now.
  local function drop(shard, id, lane)
    local list = P .. ':lane:' .. shard .. ':' .. lane
    call('LPOP', list)
    call('HDEL', P .. ':given', id)
    parked_more = parked_more - 1
    if call('EXISTS', list) == 0 then
      call('ZREM', P .. ':retry:' .. shard, lane)
      return true
    end
    call('ZADD', P .. ':retry:' .. shard, at, lane)
    return false
  end

  for i, item in ipairs(items) do
    local shard, id, parked, lane, verdict = item[1], item[2], item[3], item[4], item[5]
    if mine[shard] == nil then
      mine[shard] = call('GET', P .. ':lease:' .. shard) == owner
      streams[shard], ended[shard] = P .. ':shard:' .. shard, {}
    end
    local how = SETTLED
    if not mine[shard] then
      how = LOST
    elseif held[lane] or (verdict == DONE and changed(item[6])) then
      held[lane], how = true, CONFLICT
    elseif not take(shard, id, parked, lane) then
      how = GONE
    elseif verdict == LATER or verdict == PARK then
      local list = P .. ':lane:' .. shard .. ':' .. lane
      if verdict == LATER then
        if parked then
          call('LSET', list, 0, item[7])
          call('HDEL', P .. ':given', id)
        else
          call('RPUSH', list, item[7])
          parked_more = parked_more + 1
        end
        call('ZADD', P .. ':retry:' .. shard, at + item[6], lane)
      else
        call('RPUSH', list, item[6])
        parked_more = parked_more + 1
        call('ZADD', P .. ':retry:' .. shard, 'NX', at, lane)
      end
    else
      if parked and drop(shard, id, lane) then how = FREED end
      if verdict == DONE then
        for _, write in ipairs(item[7]) do
          call('HSET', table_of(write[1]), write[2], stamp .. id .. '\n' .. write[3])
        end
        accept(item[8], at, keep, remember)
      else
        bury(at, item[6], item[7], item[8], item[9], string.match(id, '^%d+'), '')
        accept(item[10], at, keep, remember)
      end
    end
    answer[i] = how
  end
  for shard, ids in pairs(ended) do
    spread(ids, function(...) return call('XDEL', streams[shard], ...) end)
  end
  if parked_more ~= 0 then call('INCRBY', P .. ':parked', parked_more) end
  return answer
end

-- {owner, milliseconds, shards, giving, waits}: renew the lease on what is held, give back `giving`, take a fair share of what
-- is free; keep since when something `waits` in hand. The shards held now, the fair share, and which of the held are new: {shard, how many deliveries others have left
-- pending, its blocked lanes}.
function commands.lease(owner, milliseconds, shards, giving, waits)
  local at = now()
  call('SET', P .. ':waits:' .. owner, text(waits), 'PX', milliseconds)
  for _, shard in ipairs(giving) do
    if call('GET', P .. ':lease:' .. shard) == owner then call('DEL', P .. ':lease:' .. shard) end
  end
  call('ZADD', P .. ':workers', at + milliseconds, owner)
  call('ZREMRANGEBYSCORE', P .. ':workers', '-inf', at)
  local share = math.ceil(shards / call('ZCARD', P .. ':workers'))
  local held, free, taken = {}, {}, {}
  for shard = 0, shards - 1 do
    local holder = call('GET', P .. ':lease:' .. shard)
    if holder == owner then
      call('PEXPIRE', P .. ':lease:' .. shard, milliseconds)
      table.insert(held, shard)
    elseif not holder then
      table.insert(free, shard)
    end
  end
  for _, shard in ipairs(free) do
    if #held >= share then break end
    call('SET', P .. ':lease:' .. shard, owner, 'PX', milliseconds)
    local stream = P .. ':shard:' .. shard
    redis.pcall('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
    local pending = call('XPENDING', stream, 'workers')[1]
    if pending == 0 then  -- workers that have gone leave their names in the group
      for _, consumer in ipairs(call('XINFO', 'CONSUMERS', stream, 'workers')) do
        call('XGROUP', 'DELCONSUMER', stream, 'workers', consumer[2])
      end
    end
    table.insert(held, shard)
    table.insert(taken, {shard, pending, call('ZRANGE', P .. ':retry:' .. shard, 0, -1)})
  end
  return {held, share, taken}
end

-- How many workers other than `owner` have had a parked delivery in hand.
local function others(id, owner)
  local times, last = string.match(call('HGET', P .. ':given', id) or '', '^(%d+) (.*)$')
  return last == owner and times - 1 or tonumber(times or 0)
end

-- {owner, shards, parked}: forget this worker, at a clean stop; it has not worked on these parked deliveries in its hand.
function commands.release(owner, shards, parked)
  for _, id in ipairs(parked) do
    if call('HEXISTS', P .. ':given', id) == 1 then call('HSET', P .. ':given', id, others(id, owner) .. ' ') end
  end
  for shard = 0, shards - 1 do
    if call('GET', P .. ':lease:' .. shard) == owner then call('DEL', P .. ':lease:' .. shard) end
  end
  call('ZREM', P .. ':workers', owner)
  return 1
end

-- The first parked deliveries of blocked lanes that are due, as {shard, lane, given, forms}; they are not handed out again for so
-- many milliseconds. One that two workers died of is handed out alone, one by one.
local function due(owner, shards, limit, milliseconds)
  local at, answer = now(), {}
  for _, shard in ipairs(shards) do
    for _, lane in ipairs(call('ZRANGEBYSCORE', P .. ':retry:' .. shard, '-inf', at, 'LIMIT', 0, limit)) do
      local forms = call('LRANGE', P .. ':lane:' .. shard .. ':' .. lane, 0, HEADS - 1)
      local given = others(id_of(forms[1]), owner)
      if given < SUSPECT or #answer == 0 then
        if given > 0 then forms = {forms[1]} end
        for _, form in ipairs(forms) do
          call('HSET', P .. ':given', id_of(form), others(id_of(form), owner) + 1 .. ' ' .. owner)
        end
        call('ZADD', P .. ':retry:' .. shard, at + milliseconds, lane)
        table.insert(answer, {shard, lane, given + 1, forms})
        if given >= SUSPECT or #answer == limit then return answer end
      end
    end
  end
  return answer
end

-- {owner, blocked, limit, milliseconds}: what is due of those shards, each with a blocked lane, that are this worker's.
function commands.due(owner, blocked, limit, milliseconds)
  local names, mine = {}, {}
  for i, shard in ipairs(blocked) do names[i] = P .. ':lease:' .. shard end
  for i, holder in ipairs(call('MGET', unpack(names))) do
    if holder == owner then mine[#mine + 1] = blocked[i] end
  end
  return due(owner, mine, limit, milliseconds)
end

-- {letters}: keep {body, cause, digest} of what never was an event, each body once, and count how often it came.
function commands.reject(letters)
  local at, came = now(), P .. ':dead:came'
  for _, letter in ipairs(letters) do
    if call('HEXISTS', came, letter[3]) == 0 then bury(at, 'ingress', letter[2], 1, letter[1], '', letter[3]) end
    call('HINCRBY', came, letter[3], 1)
  end
end

-- {letters}: deliver the dead letters {number, shard, partition} again, all or none: 0, or the number of one that does not exist.
function commands.replay(letters)
  local found = {}
  for i, letter in ipairs(letters) do
    local id = text(letter[1]) .. '-0'
    local entry = call('XRANGE', P .. ':dead', id, id)[1]
    if not entry then return letter[1] end
    found[i] = entry
  end
  for i, letter in ipairs(letters) do
    local fields = {}
    for n = 1, #found[i][2], 2 do fields[found[i][2][n]] = found[i][2][n + 1] end
    if call('XDEL', P .. ':dead', found[i][1]) == 1 then
      deliver(text(call('INCR', P .. ':seq')), now(), letter[2], letter[3], {fields.t}, fields.e)
    end
  end
  return 0
end

-- When the oldest delivery of a stream was recorded that comes behind `id`.
local function recorded(stream, id)
  local first = call('XRANGE', stream, id, '+', 'COUNT', 1)[1]
  return first and tonumber(first[2][6])
end

-- When the oldest delivery of a shard that waits for its worker was recorded: what that has not read, and what it told of its hand.
-- Without a worker, what one had in hand waits too.
local function waits(shard)
  local stream, holder = P .. ':shard:' .. shard, call('GET', P .. ':lease:' .. shard)
  local told = holder and tonumber(call('GET', P .. ':waits:' .. holder) or nil)
  if not told then return recorded(stream, '-') end
  local group, fields = call('XINFO', 'GROUPS', stream)[1], {}
  for n = 1, #group, 2 do fields[group[n]] = group[n + 1] end
  local unread = recorded(stream, '(' .. fields['last-delivered-id'])
  return told > 0 and math.min(told, unread or told) or unread
end

-- {shards}: events, waiting, retrying (blocked lanes), dead, and milliseconds since the oldest delivery was recorded: of all,
-- and of those that wait for a worker.
function commands.counts(shards)
  local at, waiting, retrying, oldest, behind = now(), tonumber(call('GET', P .. ':parked') or 0), 0, nil, nil
  for shard = 0, shards - 1 do
    local here = call('XLEN', P .. ':shard:' .. shard)
    waiting = waiting + here
    if here > 0 then
      oldest = math.min(oldest or at, recorded(P .. ':shard:' .. shard, '-'))
      behind = math.min(behind or at, waits(shard) or at)
    end
    local lanes = call('ZRANGE', P .. ':retry:' .. shard, 0, -1)
    retrying = retrying + #lanes
    for _, lane in ipairs(lanes) do
      local head = call('LINDEX', P .. ':lane:' .. shard .. ':' .. lane, 0)
      if head then oldest = math.min(oldest or at, tonumber(string.match(head, '^%S+ %d+ (%d+)'))) end
    end
  end
  return {tonumber(call('GET', P .. ':accepted') or 0), waiting, retrying, call('XLEN', P .. ':dead'),
          math.max(0, at - (oldest or at)), math.max(0, at - (behind or at))}
end

return commands[ARGV[1]](unpack(cmsgpack.unpack(ARGV[2])))
