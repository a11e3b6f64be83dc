"""Scripts in Lua that Redis carries out as a whole.

Each uses only keys that it is given: some servers refuse to let a script use others.
"""

from __future__ import annotations

#: Reserves requests by the clock of the server, which is the same for everybody. Stored is the time of the next
#: one, in seconds since 1970. In: key; interval, count, credit, the longest wait.
RESERVE_REQUESTS = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local interval, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = tonumber(redis.call('GET', KEYS[1]) or '0')
if at > now + tonumber(ARGV[4]) then at = 0 end
at = math.max(at, now - tonumber(ARGV[3]))
local after = at + interval * count
redis.call('SET', KEYS[1], string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000) + 60000)
return string.format('%.6f', at - now)
"""

#: Holds a part of a budget by the clock of the server. Stored are for each holder what it has spent, what counts as
#: spent if it ends without a word, what it holds, and when that expires; for the holder '' what those that have ended
#: spent. The key does not expire, since a Redis whose memory is full may evict what expires: the script deletes those
#: that it is given, if they are old. In: key, that of the times at which budgets were used, those of budgets to delete;
#: holder, cap, spent, keep, least, most, pending, 1 if the holder has ended, seconds that a part is held, seconds that
#: the clock may be set back, seconds that a budget is kept.
HOLD_BUDGET = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local n = {}
for at = 2, 11 do n[at] = tonumber(ARGV[at]) end
local cap, spent, keep, least, most, pending, closes, held_for = n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]
local total, others, ended = spent, 0, 0
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local one, two, three, four = string.match(all[at + 1], '(%S+) (%S+) (%S+) (%S+)')
  if all[at] == '' then ended = tonumber(one) end
  if all[at] ~= ARGV[1] then
    total = total + tonumber(one)
    local expires = tonumber(four)
    if now <= expires and expires <= now + held_for + n[10] then
      others = others + tonumber(three)
    else
      total = total + tonumber(two)
    end
  end
end
local free = cap - total - others
local amount = math.max(0, math.min(keep, free))
if keep + least <= free then amount = math.min(keep + most, free) end
if closes == 1 then
  if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], '', string.format('%.17g 0 0 0', ended + spent))
  end
else
  local own = string.format('%.17g %.17g %.17g %.6f', spent, pending, amount, now + held_for)
  redis.call('HSET', KEYS[1], ARGV[1], own)
end
redis.call('ZADD', KEYS[2], now, KEYS[1])
for at = 3, #KEYS do
  if tonumber(redis.call('ZSCORE', KEYS[2], KEYS[at]) or now) < now - n[11] then
    redis.call('DEL', KEYS[at])
    redis.call('ZREM', KEYS[2], KEYS[at])
  end
end
return string.format('%.17g %.17g %.17g', amount, total, others)
"""

#: Adds a report to counters, once: the client repeats what it has sent if the connection breaks before the response.
#: If the first counter cannot be changed, nothing has been done. In: the key of reports, that of the counters; ID of
#: the report, seconds that IDs are kept, and for each counter its name and what is added.
COUNT_ONCE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
for at = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[2], ARGV[at], ARGV[at + 1])
  if at == 3 then redis.call('HSET', KEYS[1], ARGV[1], '') end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
