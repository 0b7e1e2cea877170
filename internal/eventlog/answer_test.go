package eventlog

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answering has the functions of nats-server that answer our requests, by file.
var answering = map[string][]string{
	"stream.go": {
		"processJetStreamMsgWithBatch", "queueInbound", "addStreamWithAssignmentAndMode",
	},
	"jetstream_batching.go": {"checkMsgHeadersPreClusteredProposal"},
	"jetstream_cluster.go": {
		"processClusteredInboundMsg", "jsClusteredStreamRequest", "jsClusteredStreamLimitsCheck", "jsClusteredConsumerRequest",
		"jsClusteredConsumerDeleteRequest", "processClusterCreateConsumer", "processClusterCreateStream",
	},
	"jetstream_api.go": {
		"jsStreamCreateRequest", "jsStreamInfoRequest", "jsStreamListRequest", "jsMsgGetRequest", "jsConsumerCreateRequest",
		"jsConsumerDeleteRequest", "jsNonClusteredStreamLimitsCheck",
	},
	"consumer.go": {"addConsumerWithAssignmentAndMode"},
}

// unasked are the errors of those functions that our requests cannot have:
// durable, filtered and push consumers, work queues, batches, restoring a stream.
var unasked = []server.ErrorIdentifier{
	server.JSConsumerBadDurableNameErr, server.JSConsumerConfigRequiredErr, server.JSConsumerCreateFilterSubjectMismatchErr,
	server.JSConsumerDurableNameNotInSubjectErr, server.JSConsumerDurableNameNotMatchSubjectErr, server.JSConsumerDurableNameNotSetErr,
	server.JSConsumerEphemeralWithDurableNameErr, server.JSConsumerInvalidPolicyErrF, server.JSConsumerInvalidResetErr,
	server.JSConsumerMultipleFiltersNotAllowed, server.JSConsumerNameContainsPathSeparatorsErr, server.JSConsumerNameTooLongErrF,
	server.JSConsumerReplacementWithDifferentNameErr, server.JSConsumerReplicasExceedsStream,
	server.JSConsumerWQConsumerNotDeliverAllErr, server.JSConsumerWQConsumerNotUniqueErr,
	server.JSConsumerWQMultipleUnfilteredErr, server.JSConsumerWQRequiresExplicitAckErr,
	server.JSStreamRestoreErrF,
}

// constructors maps the function that makes an error to its identifier's name:
// NewJSStreamStoreFailedError makes JSStreamStoreFailedErrF.
func identifierOf(t *testing.T, source *ast.File) map[string]string {
	t.Helper()
	of := map[string]string{}
	for _, declaration := range source.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(function.Name.Name, "NewJS") {
			continue
		}
		ast.Inspect(function, func(n ast.Node) bool {
			index, ok := n.(*ast.IndexExpr)
			if !ok {
				return true
			}
			if name, ok := index.Index.(*ast.Ident); ok {
				of[function.Name.Name] = name.Name
			}
			return true
		})
	}
	if len(of) < 200 {
		t.Fatalf("found %d constructors of errors in the server's source, want at least 200", len(of))
	}
	return of
}

// constants returns the values of the server's error identifiers by their names.
func constants(t *testing.T, source *ast.File) map[string]uint16 {
	t.Helper()
	// The constants' values are the codes themselves, shared with the table of
	// answers, whose keys in the source are these names.
	values := map[string]uint16{}
	for _, declaration := range source.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		ast.Inspect(general, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			name, isName := pair.Key.(*ast.Ident)
			literal, isLiteral := pair.Value.(*ast.CompositeLit)
			if !isName || !isLiteral {
				return true
			}
			for _, element := range literal.Elts {
				field, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if key, ok := field.Key.(*ast.Ident); ok && key.Name == "ErrCode" {
					code := uint16(0)
					for _, digit := range field.Value.(*ast.BasicLit).Value {
						code = code*10 + uint16(digit-'0')
					}
					values[name.Name] = code
				}
			}
			return true
		})
	}
	if len(values) != len(server.ApiErrors) {
		t.Fatalf("found %d errors in the server's source, and it has %d", len(values), len(server.ApiErrors))
	}
	return values
}

// The table of answers is complete: what the server's own source can answer to
// our requests stands in it.
func TestEveryAnswer(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-io/nats-server/v2").Output()
	if err != nil {
		t.Fatalf("finding the source of nats-server: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "server")
	files := token.NewFileSet()
	generated, err := parser.ParseFile(files, filepath.Join(dir, "jetstream_errors_generated.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	identifiers, codes := identifierOf(t, generated), constants(t, generated)
	var left []uint16
	for _, id := range unasked {
		left = append(left, server.ApiErrors[id].ErrCode)
	}
	seen := 0
	for name, functions := range answering {
		source, err := parser.ParseFile(files, filepath.Join(dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range functions {
			found := false
			for _, declaration := range source.Decls {
				f, ok := declaration.(*ast.FuncDecl)
				if !ok || f.Name.Name != function {
					continue
				}
				found = true
				ast.Inspect(f, func(n ast.Node) bool {
					name, ok := n.(*ast.Ident)
					if !ok {
						return true
					}
					identifier := name.Name
					if made, ok := identifiers[identifier]; ok {
						identifier = made
					}
					code, ok := codes[identifier]
					if !ok || slices.Contains(left, code) {
						return true
					}
					seen++
					if _, ok := meanings[jetstream.ErrorCode(code)]; !ok {
						t.Errorf("%s can answer %d (%s), which has no meaning in the table", function, code, identifier)
					}
					return true
				})
			}
			if !found {
				t.Errorf("%s has no function %s: look for what answers our requests now", name, function)
			}
		}
	}
	if seen < 100 {
		t.Errorf("the server's source mentions %d errors in the functions looked at, want at least 100", seen)
	}
	for code := range meanings {
		known := slices.ContainsFunc(valuesOf(codes), func(c uint16) bool { return c == uint16(code) })
		if !known {
			t.Errorf("the table has %d, which the server does not know", code)
		}
	}
}

func valuesOf(codes map[string]uint16) []uint16 {
	var list []uint16
	for _, code := range codes {
		list = append(list, code)
	}
	return list
}

func TestAnAnswerToAPublishSaysWhetherItMayBeStored(t *testing.T) {
	future := &Future{stream: &Stream{name: "USAGE-0-0"}, subject: "usage.0"}
	for _, test := range []struct {
		name string
		code uint16
		http int
		text string
		want error // nil: none of the errors that are waited for
	}{
		{"the message id is being stored for an earlier publish", 10158, 409, "duplicate message id is in process", ErrAmbiguous},
		{"a replica resets itself", 10063, 503, "expected stream sequence does not match", ErrAmbiguous},
		{"the store of one replica is closed", 10077, 503, server.ErrStoreClosed.Error(), ErrAmbiguous},
		{"the leader has changed", 10009, 500, "JetStream cluster can not handle request", ErrAmbiguous},
		{"the stream has its most bytes", 10077, 503, server.ErrMaxBytes.Error(), ErrFull},
		{"the stream has its most messages", 10077, 503, server.ErrMaxMsgs.Error(), ErrFull},
		{"the store finds it too large", 10077, 503, server.ErrMsgTooLarge.Error(), ErrTooLarge},
		{"the server's disk is full", 10023, 503, "insufficient resources", ErrFull},
		{"the account is full", 10002, 400, "resource limits exceeded for account", ErrFull},
		{"the queue is full", 10167, 429, "too many requests", ErrUnavailable},
		{"the subject's end cannot be checked yet", 10163, 503, "expected last sequence per subject temporarily unavailable", ErrUnavailable},
		{"the server is stopping", 10076, 503, "JetStream not enabled", ErrUnavailable},
		{"the account's JetStream is starting", 10039, 503, "JetStream not enabled for account", ErrUnavailable},
		{"the stream ends elsewhere", 10071, 400, "wrong last sequence: 7", ErrWrongLastSequence},
		{"the stream ends somewhere else", 10164, 400, "wrong last sequence", ErrWrongLastSequence},
		{"it is too large", 10054, 400, "message size exceeds maximum allowed", ErrTooLarge},
		{"another stream has the subject", 10060, 400, "expected stream does not match", nil},
		{"the stream is sealed", 10109, 400, "invalid operation on sealed stream", nil},
		{"a later server answers with something new, and had a problem", 19999, 500, "something new", ErrAmbiguous},
		{"a later server answers with something new, and refuses", 19998, 400, "something new", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := &jetstream.APIError{Code: test.http, ErrorCode: jetstream.ErrorCode(test.code), Description: test.text}
			got := refusal(future, answer)
			for _, class := range []error{ErrAmbiguous, ErrFull, ErrUnavailable, ErrWrongLastSequence, ErrTooLarge} {
				if want := class == test.want; errors.Is(got, class) != want {
					t.Errorf("%d is %v: %t, want %t", test.code, class, !want, want)
				}
			}
		})
	}
}

func TestAnAnswerToARequestSaysWhetherToAskAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want error // nil: the error itself
	}{
		{"the other servers of the cluster are not back yet", &jetstream.APIError{Code: 400, ErrorCode: 10005, Description: "no suitable peers for placement, peer offline"}, ErrUnavailable},
		{"there is no meta leader", &jetstream.APIError{Code: 503, ErrorCode: 10008}, ErrUnavailable},
		{"the stream is offline", &jetstream.APIError{Code: 500, ErrorCode: 10118}, ErrUnavailable},
		{"a consumer could not be made", &jetstream.APIError{Code: 500, ErrorCode: 10012}, ErrUnavailable},
		{"a server has no room for a stream", &jetstream.APIError{Code: 503, ErrorCode: 10023}, ErrUnavailable},
		{"a server answers with something new", &jetstream.APIError{Code: 500, ErrorCode: 19999}, ErrUnavailable},
		{"JetStream is not enabled", jetstream.ErrJetStreamNotEnabled, ErrUnavailable},
		{"JetStream is not enabled for the account yet", jetstream.ErrJetStreamNotEnabledForAccount, ErrUnavailable},
		{"nobody answers", nats.ErrNoResponders, ErrUnavailable},
		{"the answer does not come in time", nats.ErrTimeout, ErrUnavailable},
		{"the message is not there", jetstream.ErrMsgNotFound, ErrNotFound},
		{"the log is closed", nats.ErrConnectionClosed, ErrClosed},
		{"there is no such stream", jetstream.ErrStreamNotFound, nil},
		{"the stream's subjects are another's", &jetstream.APIError{Code: 400, ErrorCode: 10065}, nil},
		{"the stream's settings are wrong", &jetstream.APIError{Code: 500, ErrorCode: 10052}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := interrupted(test.err)
			if test.want == nil && (!errors.Is(got, test.err) || errors.Is(got, ErrUnavailable) || errors.Is(got, ErrNotFound)) {
				t.Errorf("interrupted is %v, want the error itself", got)
			}
			if test.want != nil && !errors.Is(got, test.want) {
				t.Errorf("interrupted is %v, want %v", got, test.want)
			}
		})
	}
}
