-- The rows of rollups and tag_rollups from @from up to @to that are not what usage_facts
-- comes to; at most @limit of them, each with the number of all. First by minute, which is
-- most of the work: hours and days are sums of those.
WITH all_grains (grain) AS (
    VALUES ('minute'), ('hour'), ('day')
), kinds AS MATERIALIZED (
    -- A number for what facts have in common: millions of rows sort by it, not by texts.
    SELECT row_number() OVER () AS kind, names.*
    FROM (
        SELECT DISTINCT tenant_id, key_id, provider, model, route, outcome, tags
        FROM usage_facts
        WHERE started_at >= @from AND started_at < @to
    ) names
), series AS MATERIALIZED (
    -- A kind counts once without a tag, and once for each of its tags.
    SELECT dense_rank() OVER (ORDER BY tenant_id, tag, value, key_id, provider, model, route, outcome) AS series,
           kind, tenant_id, tag, value, key_id, provider, model, route, outcome
    FROM kinds CROSS JOIN LATERAL (SELECT '', '' UNION ALL SELECT * FROM jsonb_each_text(tags)) AS each (tag, value)
), series_grains AS MATERIALIZED (
    SELECT kind, series, grain FROM series CROSS JOIN all_grains WHERE tag = '' OR grain <> 'minute'
), facts AS NOT MATERIALIZED (
    SELECT kind, date_trunc('minute', started_at, 'UTC') AS minute, cost_status, input_uncached, cache_read,
           cache_write::numeric + cache_write_1h AS cache_write, output, reasoning, cost, duration_us, ttft_us
    FROM usage_facts
    JOIN kinds USING (tenant_id, key_id, provider, model, route, outcome, tags)
    WHERE started_at >= @from AND started_at < @to
), minutes AS (
    SELECT kind, minute,
           count(*) AS requests,
           count(*) FILTER (WHERE cost_status = 'unpriced') AS unpriced,
           count(*) FILTER (WHERE cost_status = 'no_usage') AS no_usage,
           sum(input_uncached) AS input_uncached, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write,
           sum(output) AS output, sum(reasoning) AS reasoning, coalesce(sum(cost), 0) AS cost, sum(duration_us) AS duration_us
    FROM facts
    GROUP BY kind, minute
), sums AS (
    SELECT series, grain, date_trunc(grain, minute, 'UTC') AS bucket,
           sum(requests) AS requests, sum(unpriced) AS unpriced, sum(no_usage) AS no_usage,
           sum(input_uncached) AS input_uncached, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write,
           sum(output) AS output, sum(reasoning) AS reasoning, sum(cost) AS cost, sum(duration_us) AS duration_us
    FROM minutes JOIN series_grains USING (kind)
    GROUP BY series, grain, bucket
), minute_places AS (
    -- Both histograms at once; ttft: of the second.
    SELECT kind, minute, ttft, place, count(*) AS n
    FROM facts
    CROSS JOIN LATERAL (VALUES (false, hist_bucket(duration_us)), (true, hist_bucket(ttft_us))) AS measured (ttft, place)
    WHERE place IS NOT NULL
    GROUP BY kind, minute, ttft, place
), places AS (
    SELECT grain, series, date_trunc(grain, minute, 'UTC') AS bucket, ttft, place, sum(n)::bigint AS n
    FROM minute_places JOIN series_grains USING (kind)
    GROUP BY grain, series, bucket, ttft, place
), histograms AS (
    SELECT grain, series, bucket,
           array_agg(v ORDER BY place, part) FILTER (WHERE NOT ttft) AS duration_hist,
           coalesce(array_agg(v ORDER BY place, part) FILTER (WHERE ttft), '{}') AS ttft_hist
    FROM places CROSS JOIN LATERAL (VALUES (1, place), (2, n)) AS flat (part, v)
    GROUP BY grain, series, bucket
), ledger AS (
    SELECT * FROM sums
    JOIN (SELECT DISTINCT series, tenant_id, tag, value, key_id, provider, model, route, outcome FROM series) names USING (series)
    JOIN histograms USING (grain, series, bucket)
), stored AS (
    SELECT '' AS tag, '' AS value, tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
           input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist
    FROM rollups WHERE bucket >= @from AND bucket < @to
    UNION ALL
    SELECT tag, value, tenant_id, grain, bucket, key_id, provider, model, route, outcome, requests, unpriced, no_usage,
           input_uncached, cache_read, cache_write, output, reasoning, cost, duration_us, duration_hist, ttft_hist
    FROM tag_rollups WHERE bucket >= @from AND bucket < @to
)
SELECT count(*) OVER (), tenant_id, grain, bucket, nullif(tag, ''), CASE WHEN tag <> '' THEN value END, key_id, provider, model, route, outcome,
       ledger.requests::bigint, stored.requests, ledger.cost::text, stored.cost::text
FROM ledger FULL JOIN stored USING (tenant_id, tag, value, grain, bucket, key_id, provider, model, route, outcome)
WHERE (ledger.requests, ledger.unpriced, ledger.no_usage, ledger.input_uncached, ledger.cache_read, ledger.cache_write,
       ledger.output, ledger.reasoning, ledger.cost, ledger.duration_us, ledger.duration_hist, ledger.ttft_hist)
   IS DISTINCT FROM
      (stored.requests, stored.unpriced, stored.no_usage, stored.input_uncached, stored.cache_read, stored.cache_write,
       stored.output, stored.reasoning, stored.cost, stored.duration_us, stored.duration_hist, stored.ttft_hist)
ORDER BY bucket, grain, tenant_id, tag, value, key_id, provider, model, route, outcome
LIMIT @limit
