package witness

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Handler answers submissions as C2SP tlog-witness defines, below a path that the
// caller strips: POST /add-checkpoint. GET /seen lists what was cosigned last,
// GET /key returns the witness's public key, and GET /healthz fails once there is
// evidence against a log. All of it is public.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.serveAdd)
	mux.HandleFunc("GET /seen", w.serveSeen)
	mux.HandleFunc("GET /key", func(to http.ResponseWriter, _ *http.Request) {
		to.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(to, w.public+"\n") // An error means that the client has gone.
	})
	mux.HandleFunc("GET /healthz", func(to http.ResponseWriter, _ *http.Request) {
		if n := w.Alarms(); n > 0 {
			http.Error(to, strconv.Itoa(n)+" submissions contradict what was cosigned", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(to, "ok\n") // An error means that the client has gone.
	})
	return mux
}

func (w *Witness) serveAdd(to http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(to, request.Body, tlog.MaxSubmission))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		http.Error(to, "the request is longer than a submission can be", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // The client has gone.
	}
	var line []byte
	s, err := tlog.ParseSubmission(body)
	if err != nil {
		err = errors.Join(ErrMalformed, err)
	} else {
		line, err = w.Add(s)
	}
	var conflict *Conflict
	switch {
	case err == nil:
		to.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = to.Write(line) // A client that has gone asks again.
	case errors.As(err, &conflict):
		to.Header().Set("Content-Type", "text/x.tlog.size")
		to.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(to, strconv.FormatUint(conflict.Size, 10)+"\n")
	case errors.Is(err, ErrMalformed):
		http.Error(to, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrUnsigned):
		http.Error(to, err.Error(), http.StatusForbidden)
	case errors.Is(err, ErrUnknown):
		http.Error(to, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrProof):
		http.Error(to, err.Error(), http.StatusUnprocessableEntity)
	default:
		w.config.Logger.Error("a checkpoint was not cosigned", "cause", err)
		http.Error(to, "the witness cannot store the checkpoint: see its log", http.StatusInternalServerError)
	}
}

func (w *Witness) serveSeen(to http.ResponseWriter, _ *http.Request) {
	list, err := w.Seen()
	if err != nil {
		w.config.Logger.Error("listing what was cosigned", "cause", err)
		http.Error(to, "the cosigned checkpoints cannot be read: see the witness's log", http.StatusInternalServerError)
		return
	}
	to.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(to).Encode(list) // An error means that the client has gone.
}
