-- Decide what happens to one request before it is passed on: nothing, a delay, or a fault.
-- The settings are in the shared dictionary `settings`, which the control server fills.

local settings = ngx.shared.settings

local SLOW_DOWN = [[<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>]]

local function number(name)
    return tonumber(settings:get(name)) or 0
end

local function is_concerned()
    local only = settings:get("only")
    if only and only ~= "" then
        local line = ngx.var.request_method .. " " .. ngx.var.request_uri
        if not ngx.re.find(line, only, "jo") then
            return false
        end
    end
    local count = settings:incr("count", 1, 0)
    return count > number("skip")
end

-- In [0, 1), a function of the seed and of how many draws there were: the same in every run that
-- makes the same requests in the same order.
local function draw()
    local digest = ngx.md5_bin(settings:get("seed") .. ":" .. settings:incr("draws", 1, 0))
    local a, b, c = digest:byte(1, 3)
    return (a * 65536 + b * 256 + c) / 16777216
end

local function may_fault()
    local limit = number("limit")
    return limit < 0 or (settings:get("faults") or 0) < limit
end

local function pass_on()
    local pace = number("bytes_per_second")
    if pace > 0 and ngx.var.request_method == "GET" then
        ngx.var.pace = pace
        return ngx.exec("@paced")
    end
end

local function note(name)
    settings:incr("faults", 1, 0)
    ngx.var.fault = name
end

local latency = number("latency_ms")
if latency > 0 then
    ngx.sleep(latency / 1000)
end

if not is_concerned() then
    return pass_on()
end

if settings:get("hang") == "1" and may_fault() then
    note("hang")
    repeat
        ngx.sleep(0.05)
    until settings:get("hang") ~= "1"
end

local error_fraction = number("error_fraction")
local reset_fraction = number("reset_fraction")
local truncate_fraction = number("truncate_fraction")
local stall_fraction = number("stall_fraction")
if error_fraction + reset_fraction + truncate_fraction + stall_fraction == 0 or not may_fault() then
    return pass_on()
end

local chance = draw()
if chance < error_fraction then
    note("error")
    ngx.req.discard_body()
    ngx.status = 503
    ngx.header["Content-Type"] = "application/xml"
    ngx.header["Content-Length"] = #SLOW_DOWN
    if ngx.var.request_method ~= "HEAD" then
        ngx.print(SLOW_DOWN)
    end
    return ngx.exit(503)
end
chance = chance - error_fraction
if chance < reset_fraction then
    note("reset")
    return ngx.exit(444)
end
chance = chance - reset_fraction
if chance < truncate_fraction then
    note("truncate")
    ngx.var.cut = draw()
    return ngx.exec("@truncated")
end
chance = chance - truncate_fraction
if chance < stall_fraction then
    note("stall")
    return ngx.exec("@stalled")
end
pass_on()
