-- W7: with Host 20 headers, in each request the same.
for number = 1, 19 do
  wrk.headers["X-Header-" .. number] = "a value of usual length " .. number
end
