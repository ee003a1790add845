package images

// Progress hears how the work goes on. Names are components, and for what
// serves several of them the work itself: "k8s.io/kubernetes". Methods are
// called from several goroutines.
type Progress interface {
	Start(name string)
	Log(name, text string)
	Done(name string, err error)
}

type silent struct{}

var _ Progress = silent{}

func (silent) Start(string)       {}
func (silent) Log(string, string) {}
func (silent) Done(string, error) {}
