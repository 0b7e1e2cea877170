package api

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Fails when the decoder of request bodies takes the last of two members with
// one name, or takes a member whose name differs in case.
func TestAMemberOfARequestIsReadOnceAndUnderItsOwnName(t *testing.T) {
	s := New(Config{OperatorSHA256: sha256.Sum256([]byte("t"))})
	const deposit = `"book":"b","customer":"c","asset":"USDC","amount":"1","reference":"r"`
	tests := []struct{ name, path, body, want string }{
		{"an amount twice", "/v1/deposits", `{"amount":"1000",` + deposit + `}`, `\"amount\" occurs twice`},
		{"an amount in capitals beside it", "/v1/deposits", `{` + deposit + `,"Amount":"1000"}`, `it is written \"amount\"`},
		{"a customer in capitals alone", "/v1/deposits", strings.Replace(`{`+deposit+`}`, "customer", "CUSTOMER", 1), `it is written \"customer\"`},
		{"a member that nobody knows", "/v1/deposits", `{` + deposit + `,"note":"x"}`, "unexpected property"},
		{"two bodies", "/v1/deposits", `{` + deposit + `}{` + deposit + `}`, "bytes after the JSON value"},
		{"a period twice", "/v1/periods/close", `{"book":"b","period":"2026-10","period":"2026-11"}`, `\"period\" occurs twice`},
		{"a scope in capitals", "/v1/keys", `{"key":"k","scope":"provider","Scope":"operator","provider":"p"}`, `it is written \"scope\"`},
		{"a token of a distribution twice", "/v1/distributions", `{"token":"A","token":"B","period":"2026-11"}`, `\"token\" occurs twice`},
		{"a rate of a round twice", "/v1/quotes", `{"pair":"USDC/USD","source":"f","rounds":[{"round":"1","time":"2026-11-20T00:00:00Z","rate":"1","rate":"2"}]}`, `\"rounds.rate\" occurs twice`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body))
			request.Header.Set("Authorization", "Bearer t")
			request.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, request)
			if text := answer.Body.String(); answer.Code/100 != 4 || !strings.Contains(text, test.want) {
				t.Errorf("want %s, got %d %s", test.want, answer.Code, text)
			}
		})
	}
}
