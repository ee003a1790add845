package registryserver

import (
	"fmt"
	"io"
	"net/http"

	"github.com/sirupsen/logrus"
)

// logTo points the process-wide logger of logrus, the only one that the
// distribution registry uses, to w.
func logTo(w io.Writer) {
	logrus.SetFormatter(formatter{})
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetOutput(notEmpty{w})
}

// formatter gives one short line for each entry. The registry counts it as an
// error when a client asks for something that does not exist, which every push
// does; those entries are dropped.
type formatter struct{}

// Format implements logrus.Formatter.
func (formatter) Format(e *logrus.Entry) ([]byte, error) {
	if e.Data["http.response.status"] == http.StatusNotFound {
		return nil, nil
	}
	line := "registry: " + e.Message
	for _, field := range []string{"http.request.method", "http.request.uri", "http.response.status", "err.message", "err.detail"} {
		if v, ok := e.Data[field]; ok {
			line += fmt.Sprintf(" %v", v)
		}
	}
	return append([]byte(line), '\n'), nil
}

type notEmpty struct{ io.Writer }

func (w notEmpty) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return w.Writer.Write(p)
}
