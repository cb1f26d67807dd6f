"""The words of which run names are made: kind, short, and told apart by ear."""

ADJECTIVES = tuple(
    """able agile amber ample azure bold brave breezy bright brisk calm candid careful cheery civil
    clear clever cosy crisp curious dapper daring deft eager early earnest easy fair fancy fleet
    fond frank fresh gentle glad golden grand happy hardy hearty honest humble jolly keen kind
    lively lucid lucky mellow merry mild modest neat nimble noble patient placid plucky polite
    proud quick quiet rapid ready robust rosy sage serene sharp shiny silver sincere smart snug
    solid spry steady still sunny swift tender tidy true upbeat vivid warm wise witty
    zesty""".split()
)
NOUNS = tuple(
    """acorn alder aspen badger bay beaver beech birch bison brook cedar clover comet condor coral
    crane creek cypress daisy delta dolphin dove eagle elm falcon fern finch fjord forest fox
    gecko glade grove gull harbor hare hawk hazel heron hill ibis iris island ivy jay kestrel kite
    lagoon lark laurel lily linden lotus lynx maple marten meadow mesa moon moss oak ocean olive
    orca oriole osprey otter owl panda pebble pine plover pond poplar puffin quail rain raven reef
    ridge river robin rowan sage seal sparrow spruce star stone swan tern thyme tiger trout tulip
    valley violet walnut whale willow wolf wren yew zebra""".split()
)
