-- What filters need of PostgreSQL: the same answers as moments.py, patterns.py, match.py and geometry.py, in the same arithmetic.
-- The costly ones are PARALLEL RESTRICTED: to start workers for the few rows that an index leaves takes a hundred times as long.

CREATE OR REPLACE FUNCTION sluice_ms(value text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    p text[] := regexp_match(value, '^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?)?$');
    y int; m int; d int; h int; mi int; s int; oh int; om int;
BEGIN
    IF p IS NULL THEN RETURN NULL; END IF;
    y := p[1]; m := p[2]; d := p[3];
    h := coalesce(p[4], '0'); mi := coalesce(p[5], '0'); s := coalesce(p[6], '0'); oh := coalesce(p[9], '0'); om := coalesce(p[10], '0');
    IF y < 1 OR m NOT BETWEEN 1 AND 12 OR d < 1 OR h > 23 OR mi > 59 OR s > 59 OR oh > 23 OR om > 59
        OR d > extract(day FROM make_date(y, m, 1) + interval '1 month' - interval '1 day') THEN RETURN NULL; END IF;
    RETURN (make_date(y, m, d) - date '1970-01-01') * 86400000::bigint
        + (h * 60 + mi - (oh * 60 + om) * CASE WHEN p[8] = '-' THEN -1 ELSE 1 END) * 60000::bigint
        + s * 1000 + left(rpad(coalesce(p[7], '0'), 3, '0'), 3)::int;
END $$;

CREATE OR REPLACE FUNCTION sluice_casei(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT lower(value COLLATE "und-x-icu") COLLATE "C" $$;

CREATE OR REPLACE FUNCTION sluice_accenti(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT regexp_replace(normalize(value, NFD), '[\u0300-\u036f]', '', 'g') COLLATE "C" $$;

-- Operands that are neither 0 nor of a usual size give NULL, so that nothing overflows.
CREATE OR REPLACE FUNCTION sluice_calc(op text, a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    whole float8;
BEGIN
    IF op = '^' AND (a = 0 OR abs(a) BETWEEN 1e-150 AND 1e150) THEN
        whole := 1;
        FOR i IN 1..b::int LOOP
            whole := whole * a;
            IF NOT (whole = 0 OR abs(whole) BETWEEN 1e-150 AND 1e150) THEN RETURN NULL; END IF;
        END LOOP;
        RETURN whole;
    END IF;
    IF NOT (a = 0 OR abs(a) BETWEEN 1e-150 AND 1e150) OR NOT (b = 0 OR abs(b) BETWEEN 1e-150 AND 1e150) THEN RETURN NULL; END IF;
    CASE op
        WHEN '+' THEN RETURN a + b;
        WHEN '-' THEN RETURN a - b;
        WHEN '*' THEN RETURN a * b;
        ELSE
            IF b = 0 THEN RETURN NULL; END IF;
            IF op = '/' THEN RETURN a / b; END IF;
            IF abs(a / b) > 9007199254740992 THEN RETURN NULL; END IF;
            whole := trunc(a / b);
            IF op = 'div' THEN RETURN whole; END IF;
            -- the product may be too small for a double, which is an error here: it is nothing beside a
            RETURN CASE WHEN whole = 0 THEN a ELSE a - b * whole END;
    END CASE;
END $$;

-- A double as numbers.py makes it a decimal.
CREATE OR REPLACE FUNCTION sluice_exact(value float8) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN abs(value) >= 9007199254740992 AND value >= -9223372036854775808 AND value < 9223372036854775808
        THEN value::bigint::numeric ELSE value::text::numeric END
$$;

-- The segments of a GeoJSON geometry, four numbers each; a point is a segment without length.
CREATE OR REPLACE FUNCTION sluice_segments(geometry jsonb) RETURNS TABLE (x1 float8, y1 float8, x2 float8, y2 float8)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    WITH line AS (
        SELECT ordinality AS n, value AS points FROM jsonb_array_elements(
            CASE geometry ->> 'type'
                WHEN 'Point' THEN jsonb_build_array(jsonb_build_array(geometry -> 'coordinates'))
                WHEN 'LineString' THEN jsonb_build_array(geometry -> 'coordinates')
                WHEN 'MultiPoint' THEN (SELECT jsonb_agg(jsonb_build_array(p)) FROM jsonb_array_elements(geometry -> 'coordinates') p)
                WHEN 'MultiPolygon' THEN (SELECT jsonb_agg(r) FROM jsonb_array_elements(geometry -> 'coordinates') p, jsonb_array_elements(p) r)
                ELSE geometry -> 'coordinates'
            END) WITH ORDINALITY
    ), point AS (
        SELECT n, ordinality AS i, (value ->> 0)::float8 AS x, (value ->> 1)::float8 AS y, jsonb_array_length(points) AS many
        FROM line, jsonb_array_elements(points) WITH ORDINALITY
    ), pair AS (
        SELECT x AS x1, y AS y1, many, lead(x) OVER following AS x2, lead(y) OVER following AS y2
        FROM point WINDOW following AS (PARTITION BY n ORDER BY i)
    )
    SELECT x1, y1, coalesce(x2, x1), coalesce(y2, y1) FROM pair WHERE x2 IS NOT NULL OR many = 1
$$;

-- 1, 0 or -1: the point lies left of, on or right of the line.
CREATE OR REPLACE FUNCTION sluice_side(x1 float8, y1 float8, x2 float8, y2 float8, x float8, y float8) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT sign((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1))::int $$;

CREATE OR REPLACE FUNCTION sluice_at(x float8, y float8, x1 float8, y1 float8, x2 float8, y2 float8) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((x1 <= x AND x <= x2) OR (x2 <= x AND x <= x1)) AND ((y1 <= y AND y <= y2) OR (y2 <= y AND y <= y1))
        AND sluice_side(x1, y1, x2, y2, x, y) = 0
$$;

CREATE OR REPLACE FUNCTION sluice_cross(
    ax float8, ay float8, az float8, aw float8, bx float8, by float8, bz float8, bw float8
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sluice_side(bx, by, bz, bw, ax, ay) * sluice_side(bx, by, bz, bw, az, aw) < 0
       AND sluice_side(ax, ay, az, aw, bx, by) * sluice_side(ax, ay, az, aw, bz, bw) < 0
$$;

-- The point is in the area by the even-odd rule.
CREATE OR REPLACE FUNCTION sluice_inside(x float8, y float8, geometry jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT count(*) % 2 = 1 FROM sluice_segments(geometry) s
    WHERE CASE WHEN (s.y1 > y) <> (s.y2 > y) THEN x < (s.x2 - s.x1) * (y - s.y1) / (s.y2 - s.y1) + s.x1 ELSE false END
$$;

CREATE OR REPLACE FUNCTION sluice_on(x float8, y float8, geometry jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT 1 FROM sluice_segments(geometry) s WHERE sluice_at(x, y, s.x1, s.y1, s.x2, s.y2))
$$;

CREATE OR REPLACE FUNCTION sluice_middle(geometry jsonb, OUT x float8, OUT y float8) LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    levels float8[] := ARRAY(SELECT DISTINCT s.y1 FROM sluice_segments(geometry) s ORDER BY 1 LIMIT 2);
    xs float8[];
BEGIN
    y := CASE WHEN cardinality(levels) > 1 THEN (levels[1] + levels[2]) / 2 ELSE levels[1] END;
    xs := ARRAY(
        SELECT (s.x2 - s.x1) * (sluice_middle.y - s.y1) / (s.y2 - s.y1) + s.x1 FROM sluice_segments(geometry) s
        WHERE (s.y1 > sluice_middle.y) <> (s.y2 > sluice_middle.y) ORDER BY 1 LIMIT 2);
    IF cardinality(xs) > 1 THEN
        x := (xs[1] + xs[2]) / 2;
    ELSE
        SELECT s.x1, s.y1 INTO x, y FROM sluice_segments(geometry) s LIMIT 1;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION sluice_intersects(a jsonb, b jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED COST 10000 AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM sluice_segments(a) p, sluice_segments(b) q
        WHERE sluice_cross(p.x1, p.y1, p.x2, p.y2, q.x1, q.y1, q.x2, q.y2)
            OR sluice_at(p.x1, p.y1, q.x1, q.y1, q.x2, q.y2) OR sluice_at(p.x2, p.y2, q.x1, q.y1, q.x2, q.y2)
            OR sluice_at(q.x1, q.y1, p.x1, p.y1, p.x2, p.y2) OR sluice_at(q.x2, q.y2, p.x1, p.y1, p.x2, p.y2)
    ) OR (b ->> 'type' LIKE '%Polygon' AND EXISTS (SELECT 1 FROM sluice_segments(a) p WHERE sluice_inside(p.x1, p.y1, b)))
      OR (a ->> 'type' LIKE '%Polygon' AND EXISTS (SELECT 1 FROM sluice_segments(b) q WHERE sluice_inside(q.x1, q.y1, a)));
END $$;

CREATE OR REPLACE FUNCTION sluice_within(a jsonb, b jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED COST 10000 AS $$
DECLARE
    area boolean := a ->> 'type' LIKE '%Polygon';
    mx float8; my float8;
BEGIN
    IF NOT b ->> 'type' LIKE '%Polygon' THEN
        RETURN NOT area AND NOT EXISTS (
            SELECT 1 FROM sluice_segments(a) p WHERE NOT EXISTS (
                SELECT 1 FROM sluice_segments(b) q
                WHERE sluice_at(p.x1, p.y1, q.x1, q.y1, q.x2, q.y2) AND sluice_at(p.x2, p.y2, q.x1, q.y1, q.x2, q.y2)));
    END IF;
    IF EXISTS (
        SELECT 1 FROM sluice_segments(a) p
        WHERE NOT (sluice_inside(p.x1, p.y1, b) OR sluice_on(p.x1, p.y1, b)) OR NOT (sluice_inside(p.x2, p.y2, b) OR sluice_on(p.x2, p.y2, b))
            OR EXISTS (SELECT 1 FROM sluice_segments(b) q WHERE sluice_cross(p.x1, p.y1, p.x2, p.y2, q.x1, q.y1, q.x2, q.y2))
            OR NOT (
                sluice_inside((p.x1 + p.x2) / 2, (p.y1 + p.y2) / 2, b) OR sluice_on((p.x1 + p.x2) / 2, (p.y1 + p.y2) / 2, b)
                OR EXISTS (
                    SELECT 1 FROM sluice_segments(b) q
                    WHERE sluice_at(p.x1, p.y1, q.x1, q.y1, q.x2, q.y2) AND sluice_at(p.x2, p.y2, q.x1, q.y1, q.x2, q.y2)))
    ) THEN RETURN false; END IF;
    IF NOT area THEN RETURN true; END IF;
    SELECT x, y INTO mx, my FROM sluice_middle(a);
    RETURN NOT EXISTS (SELECT 1 FROM sluice_segments(b) q WHERE sluice_inside(q.x1, q.y1, a) AND NOT sluice_on(q.x1, q.y1, a))
        AND (sluice_inside(mx, my, b) OR sluice_on(mx, my, b));
END $$
