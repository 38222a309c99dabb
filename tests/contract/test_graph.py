"""What every store of triples must do: the embedded one, and Virtuoso; and that both give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from events.errors import Reject, Retry
from events.ports import GraphChange, Solutions
from functions.ontologies.graphs import OBSERVATIONS, STATE, minute
from infra.graph.cached import CachedStore
from infra.graph.oxigraph import OxigraphStore
from infra.graph.retention import Retention
from infra.graph.store import Ask, SparqlStore, TooLarge, TooLong
from infra.graph.virtuoso import VirtuosoStore

XSD = "http://www.w3.org/2001/XMLSchema#"
E = "http://e/"
#: People in a ring of streets, with values of every kind.
DATA = [
    *[(f"<{E}s{n}>", f"<{E}to>", f"<{E}s{(n + 1) % 5}>") for n in range(5)],
    (f"<{E}s2>", f"<{E}to>", f"<{E}end>"),
    *[(f"<{E}p{n}>", f"<{E}in>", f"<{E}s{n % 3}>") for n in range(6)],
    *[(f"<{E}p{n}>", f"<{E}age>", f'"{20 + n}"^^<{XSD}integer>') for n in range(5)],
    (f"<{E}p0>", f"<{E}name>", '"Zoë \\"Z\\"\\n\\\\"@en'),
    (f"<{E}p0>", f"<{E}name>", '"Zo\u00e9"@it'),
    (f"<{E}p1>", f"<{E}name>", '"plain"'),
    (f"<{E}p1>", f"<{E}weight>", f'"71.50"^^<{XSD}decimal>'),
    (f"<{E}p2>", f"<{E}weight>", f'"60.25"^^<{XSD}decimal>'),
    (f"<{E}p2>", f"<{E}longitude>", f'"12.345678901234"^^<{XSD}double>'),
    (f"<{E}p2>", f"<{E}geometry>", '"POINT(12.345678901234 45.4)"^^<http://www.opengis.net/ont/geosparql#wktLiteral>'),
    (f"<{E}p3>", f"<{E}calm>", f'"true"^^<{XSD}boolean>'),
    (f"<{E}p4>", f"<{E}calm>", f'"false"^^<{XSD}boolean>'),
    (f"<{E}p3>", f"<{E}seen>", f'"2026-11-01T10:00:00Z"^^<{XSD}dateTime>'),
    (f"<{E}p4>", f"<{E}seen>", f'"2026-11-02T10:00:00.5Z"^^<{XSD}dateTime>'),
]
P = (
    "BASE <http://g/> PREFIX g: <http://g/> PREFIX e: <http://e/> PREFIX xsd: <http://www.w3.org/2001/XMLSchema#> "
    "PREFIX geo: <http://www.opengis.net/ont/geosparql#> "
)
QUERIES = {
    "pattern": "SELECT * FROM <G> { ?p e:in ?s }",
    "join and filter": "SELECT ?p ?a FROM <G> { ?p e:in e:s1 ; e:age ?a FILTER(?a > 21) }",
    "optional": "SELECT ?p ?w FROM <G> { ?p e:in ?s OPTIONAL { ?p e:weight ?w } }",
    "not exists": "SELECT ?p FROM <G> { ?p e:in ?s FILTER NOT EXISTS { ?p e:age ?a } }",
    "minus": "SELECT ?p FROM <G> { ?p e:in ?s MINUS { ?p e:age ?a } }",
    "union": "SELECT ?x FROM <G> { { ?x e:in e:s0 } UNION { ?x e:to e:s0 } }",
    "count": "SELECT ?s (COUNT(?p) AS ?n) FROM <G> { ?p e:in ?s } GROUP BY ?s HAVING (COUNT(?p) > 1)",
    "sums": "SELECT (SUM(?a) AS ?sum) (MIN(?a) AS ?least) (MAX(?a) AS ?most) (AVG(?a) AS ?mean) FROM <G> { ?p e:age ?a }",
    "distinct": "SELECT DISTINCT ?s FROM <G> { ?p e:in ?s }",
    "values": "SELECT ?p ?s FROM <G> { VALUES ?p { e:p1 e:p4 } ?p e:in ?s }",
    "bind": "SELECT ?p ?b FROM <G> { ?p e:age ?a BIND(?a * 2 AS ?b) }",
    "language": 'SELECT ?n FROM <G> { ?p e:name ?n FILTER(LANG(?n) = "it") }',
    "text": 'SELECT ?p FROM <G> { ?p e:name ?n FILTER(CONTAINS(STR(?n), "Zo")) }',
    "escapes": "SELECT ?n FROM <G> { e:p0 e:name ?n }",
    "plain text": 'SELECT ?p FROM <G> { ?p e:name "plain" }',
    "decimals": "SELECT ?w FROM <G> { ?p e:weight ?w }",
    "double": "SELECT ?l FROM <G> { ?p e:longitude ?l }",
    "coordinates": "SELECT ?g FROM <G> { ?p e:geometry ?g }",
    "datatype": "SELECT ?p FROM <G> { ?p e:geometry ?g FILTER(DATATYPE(?g) = geo:wktLiteral) }",
    "booleans": "SELECT ?p ?c FROM <G> { ?p e:calm ?c }",
    "a boolean": "SELECT ?p FROM <G> { ?p e:calm true }",
    "times": 'SELECT ?t FROM <G> { ?p e:seen ?t FILTER(?t > "2026-11-01T12:00:00Z"^^xsd:dateTime) }',
    "path +": "SELECT ?x FROM <G> { e:s0 e:to+ ?x }",
    "path + of a variable": "SELECT DISTINCT ?p ?x FROM <G> { ?p e:in ?s . ?s e:to+ ?x }",
    "path *": "SELECT ?x FROM <G> { e:s2 e:to* ?x }",
    "path + to": "ASK FROM <G> { e:s3 e:to+ e:end }",
    "path + nowhere": "ASK FROM <G> { e:end e:to+ e:s3 }",
    "path + then more": "SELECT ?x FROM <G> { e:s0 e:to+ ?x ; e:to e:s1 }",
    "sequence": "SELECT ?p ?x FROM <G> { ?p e:in/e:to ?x }",
    "inverse": "SELECT ?p FROM <G> { e:s1 ^e:in ?p }",
    "alternative": "SELECT ?x FROM <G> { e:s2 e:to|^e:in ?x }",
    "ordered": "SELECT ?p FROM <G> { ?p e:age ?a } ORDER BY DESC(?a) LIMIT 2 OFFSET 1",
    "named": "SELECT ?g ?p FROM NAMED <G> { GRAPH ?g { ?p e:in e:s1 } }",
    "graph of no set": "ASK FROM <G> { GRAPH <G> { ?p e:in ?s } }",
    "rows of a graph of no set": "SELECT * FROM <G> { ?p e:in ?s OPTIONAL { GRAPH <G> { ?p e:age ?a } } }",
    "default of named": "ASK FROM NAMED <G> { ?p e:in ?s }",
    "a graph": "SELECT ?p { GRAPH <G> { ?p e:in e:s1 } }",
    "a graph with a prefix": "SELECT ?p { GRAPH g:alike { ?p e:in e:s1 } }",
    "a graph from a base": "SELECT ?p { GRAPH <alike> { ?p e:in e:s1 } }",
    "a graph that is not there": "ASK { GRAPH <http://g/none> { ?p e:in ?s } }",
    "of no graph": "SELECT * FROM <http://g/none> { ?s ?p ?o }",
    "ask": "ASK FROM <G> { e:p1 e:in e:s1 }",
    "ask no": "ASK FROM <G> { e:p1 e:in e:s2 }",
    "construct": "CONSTRUCT { ?s e:holds ?p } FROM <G> { ?p e:in ?s }",
    "construct values": "CONSTRUCT { ?s ?p ?o } FROM <G> { ?s ?p ?o FILTER(?s IN (e:p0, e:p2)) }",
    "subquery": "SELECT ?p ?n FROM <G> { ?p e:in ?s { SELECT ?s (COUNT(*) AS ?n) { ?q e:in ?s } GROUP BY ?s } }",
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Iterator[OxigraphStore]:
    store = OxigraphStore(tmp_path_factory.mktemp("graph") / "graph")
    yield store
    store.close()


@pytest.fixture(scope="module")
def server(virtuoso) -> Iterator[VirtuosoStore]:
    store = VirtuosoStore(virtuoso.url, virtuoso.user, virtuoso.password)
    yield store
    store.close()


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def store(request) -> SparqlStore:
    """Each store in turn, one for all tests: each test has graphs of its own."""
    found: SparqlStore = request.getfixturevalue(request.param)
    return found


def fill(store: SparqlStore, graph: str, triples=DATA) -> None:
    store.change([GraphChange(graph=graph, add=triples, replace=True)])


def plain(answer: object, ordered: bool = False) -> object:
    """An answer in a form that can be compared: numbers by value, rows in no order."""
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, Solutions):
        places = sorted(range(len(answer.variables)), key=lambda place: answer.variables[place])
        rows = [tuple(_value(row[place]) for place in places) for row in answer.rows]
        return sorted(answer.variables), rows if ordered else sorted(rows, key=repr)
    assert isinstance(answer, list)
    return sorted(tuple(_value(term) for term in triple) for triple in answer)


def _value(term: str | None) -> str | None:
    for kind in ("double", "decimal"):
        if term is not None and term.endswith(f"^^<{XSD}{kind}>"):
            return f"{float(term[1 : term.index('^^') - 1])} {kind}"
    return term


def test_what_is_written_is_read(store):
    fill(store, "http://g/read")
    found = store.query("SELECT ?s ?p ?o FROM <http://g/read> { ?s ?p ?o }")
    assert isinstance(found, Solutions)
    expected = Solutions(["s", "p", "o"], [list(triple) for triple in DATA])
    assert plain(found) == plain(expected)


@pytest.mark.server
@pytest.mark.parametrize("name", QUERIES)
def test_both_stores_answer_alike(embedded, server, name):
    for each in (embedded, server):
        if "http://g/alike" not in each.graphs():
            fill(each, "http://g/alike")
    query = P + QUERIES[name].replace("<G>", "<http://g/alike>")
    one, other = (plain(each.query(query), name == "ordered") for each in (embedded, server))
    assert one == other
    assert one not in (([], []), []) or name == "of no graph"


def test_a_change_removes_adds_and_replaces(store):
    fill(store, "http://g/change", DATA[:3])
    change = GraphChange(graph="http://g/change", remove=DATA[:2], add=[DATA[4], DATA[0]])
    for _ in range(2):  # to repeat it changes nothing
        store.change([change, GraphChange(graph="http://g/change2", add=DATA[:1])])
        found = store.query("SELECT ?s ?p ?o FROM <http://g/change> { ?s ?p ?o }")
        assert plain(found) == plain(Solutions(["s", "p", "o"], [list(each) for each in (DATA[0], DATA[2], DATA[4])]))
    assert {"http://g/change", "http://g/change2"} <= set(store.graphs())
    store.change([GraphChange(graph="http://g/change", replace=True), GraphChange(graph="http://g/change2", replace=True)])
    assert not {"http://g/change", "http://g/change2"} & set(store.graphs())


def test_more_triples_than_one_request_takes(store):
    many = [(f"<{E}m{n}>", f"<{E}v>", f'"{n}"^^<{XSD}integer>') for n in range(2500)]
    fill(store, "http://g/many", many)
    assert store.query("SELECT (COUNT(*) AS ?n) FROM <http://g/many> { ?s ?p ?o }") == Solutions(
        ["n"], [[f'"2500"^^<{XSD}integer>']]
    )


@pytest.mark.parametrize(
    "triple",
    [
        ("_:b", f"<{E}p>", f"<{E}o>"),
        (f"<{E}s>", f"<{E}p>", "_:b"),
        ('"text"', f"<{E}p>", f"<{E}o>"),
        (f"<{E}s>", f"<{E}p>", "plain"),
        (f"<{E}s>", f"<{E}p>", '"a" . } } ; DROP ALL #'),
        (f"<{E}s>", f"<{E}p> <{E}o> . <{E}s>", f"<{E}o>"),
        (f"<{E}s>", f"<{E}p>", "<no iri>"),
        (f"<{E}s>", f"<{E}p>", f'"9"^^<{XSD}dateTime>'),
        (f"<{E}s>", f"<{E}p>", f'"99999999999999999999"^^<{XSD}integer>'),
        (f"<{E}s>", f"<{E}p>", f'"maybe"^^<{XSD}boolean>'),
    ],
)
def test_what_no_store_holds_is_refused_and_nothing_is_done(store, triple):
    with pytest.raises(Reject):
        store.change([GraphChange(graph="http://g/refused", add=[DATA[0], triple])])
    assert "http://g/refused" not in store.graphs()


def test_a_query_without_graphs_is_about_the_present(store):
    fill(store, STATE, DATA[:1])
    fill(store, "http://g/past", DATA[1:2])
    assert plain(store.query("SELECT ?s { ?s <http://e/to> ?o }")) == (["s"], [(f"<{E}s0>",)])
    found = store.query("SELECT DISTINCT ?g { GRAPH ?g { <http://e/s1> <http://e/to> ?o } }")
    assert ["<http://g/past>"] in found.rows
    assert not [row for row in found.rows if "openlinksw" in row[0]]


def test_graphs_that_are_given_take_the_place_of_those_in_the_query(store):
    fill(store, "http://g/one", DATA[:1])
    fill(store, "http://g/two", DATA[1:3])
    query = "SELECT ?s FROM <http://g/one> { ?s ?p ?o }"
    assert len(store.query(query).rows) == 1
    assert len(store.query(query, ["http://g/two"]).rows) == 2
    assert len(store.query(query, ["http://g/two", "http://g/one"]).rows) == 3
    assert store.query(query, [], ["http://g/two"]).rows == []
    assert len(store.query("SELECT ?s { GRAPH ?g { ?s ?p ?o } }", [], ["http://g/two"]).rows) == 2
    assert store.query("SELECT ?s { GRAPH ?g { ?s ?p ?o } }", ["http://g/two"]).rows == []


@pytest.mark.parametrize(
    "query",
    ["SELECT * { ?a ?b", "SELECT", "", "SELECT * { ?a ?b ?c } LIMIT x", "INSERT DATA { <a:a> <a:b> 1 }", "DROP ALL",
     "ASK { SERVICE <http://127.0.0.1:9/> { ?a ?b ?c } }", "ASK { \\u0053ERVICE <http://127.0.0.1:9/> { ?a ?b ?c } }"],
)  # fmt: skip
def test_what_is_no_query_is_refused_with_its_place(store, query):
    with pytest.raises(Reject, match="line"):
        store.query(query)


def test_a_query_that_takes_too_long_is_ended_and_others_go_on(store):
    many = [(f"<{E}m{n}>", f"<{E}v>", f'"{n}"^^<{XSD}integer>') for n in range(1000)]
    fill(store, "http://g/long", many)
    endless = "SELECT (COUNT(*) AS ?n) FROM <http://g/long> { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i FILTER(?c + ?f + ?i = 17.5) }"
    with pytest.raises(TooLong, match="longer than 1 s"):
        store.answer(Ask(query=endless, seconds=1))
    assert len(store.query("SELECT ?s FROM <http://g/long> { ?s ?p ?o }").rows) == 1000


def test_a_result_that_is_too_large_is_refused(store):
    fill(store, "http://g/large")
    query = "SELECT * FROM <http://g/large> { ?a ?b ?c . ?d ?e ?f }"
    with pytest.raises(TooLarge, match="10000 bytes"):
        store.answer(Ask(query=query, most=10_000))


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        ("text/csv", b"s,n\r\nhttp://e/p1,plain\r\n"),
        ("text/tab-separated-values", b'?s\t?n\n<http://e/p1>\t"plain"\n'),
        ("application/sparql-results+xml", b"<literal>plain</literal>"),
        ("application/sparql-results+json", b'"value":"plain"'),
    ],
)
def test_rows_in_every_format(store, media, expected):
    fill(store, "http://g/rows")
    query = "SELECT ?s ?n FROM <http://g/rows> { ?s <http://e/name> ?n FILTER(?n = 'plain') }"
    answer = store.answer(Ask(query=query, rows=media))
    assert answer.media == media
    assert expected in answer.body


@pytest.mark.parametrize("media", ["text/turtle", "application/n-triples", "application/ld+json", "application/rdf+xml"])
def test_triples_in_every_format(store, media):
    fill(store, "http://g/triples")
    query = "CONSTRUCT { ?s <http://e/named> ?n } FROM <http://g/triples> { ?s <http://e/name> ?n FILTER(?n = 'plain') }"
    answer = store.answer(Ask(query=query, triples=media))
    assert answer.media == media
    assert b"plain" in answer.body
    if media == "application/ld+json":
        msgspec.json.decode(answer.body)


def test_old_observations_are_forgotten_and_nothing_else(store):
    now = datetime.now(UTC)
    old, older, young = (minute(now - timedelta(days=days)) for days in (8, 30, 6))
    kept = {young, minute(now + timedelta(minutes=5)), OBSERVATIONS + "of-no-time", STATE, "http://g/2001-01-01T00:00"}
    for graph in (old, older, *kept):
        fill(store, graph, DATA[:2])
    cached = CachedStore(store)
    query = "ASK {{ GRAPH <{}> {{ ?s ?p ?o }} }}"
    assert all(cached.query(query.format(graph)) for graph in (old, older, *kept))
    assert cached.retain(7) == [older, old]
    assert not any(cached.query(query.format(graph)) for graph in (old, older))
    assert all(cached.query(query.format(graph)) for graph in kept)
    assert kept <= set(store.graphs())
    Retention(cached, 5).step()
    assert young not in store.graphs()


def test_a_folder_is_open_in_one_process(tmp_path):
    store = OxigraphStore(tmp_path / "graph")
    try:
        with pytest.raises(Retry, match=r"graph is open in another process: end that one first"):
            OxigraphStore(tmp_path / "graph")
        fill(store, STATE)  # the first goes on
    finally:
        store.close()
    again = OxigraphStore(tmp_path / "graph")
    assert again.graphs() == [STATE]
    again.close()


def test_a_store_that_cannot_be_opened_says_why(tmp_path):
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "CURRENT").write_text("rubbish")
    with pytest.raises(Retry, match="cannot be opened: "):
        OxigraphStore(tmp_path / "graph")


@pytest.mark.server
def test_a_refused_password_is_not_tried_again_at_once(virtuoso):
    store = VirtuosoStore(virtuoso.url, "nobody", "knows")
    for _ in range(2):  # the second time, Virtuoso is not asked
        with pytest.raises(Retry, match=r"refuses semantics\.graph_user") as refused:
            fill(store, "http://g/refused")
        assert refused.value.after == 60
    store.close()
